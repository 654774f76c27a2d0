// .pt files: written so that torch.load accepts them with and without weights_only, read without executing anything.
// LibTorch's own (de)serialisers are never used: see reliability.md 10 for the two CVEs, libtorch.md 6 for what they refuse.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "ups/io/pt_value.h"
#include "ups/io/tensors.h"

namespace ups::io {

// A plain dict of CPU tensors. Written atomically; equal values give equal bytes. Errors: exit 7.
void save_pt(const std::filesystem::path& path, const NamedTensors& tensors);
void save_pt_tree(const std::filesystem::path& path, const PtValue& root);

// A state dict: a dict of tensors, or {"state_dict": such a dict}. "_orig_mod." (torch.compile) is removed from the names.
// Throws Error (exit 4) naming the file and what is wrong.
NamedTensors load_pt(const std::filesystem::path& path);

// Anything made of None, bool, int, float, str, tuple, list, dict (also OrderedDict), tensors and Parameters.
// Limits: data.pkl 16 MiB, 64 levels, 1,000,000 values, 10,000 tensors, tensor bytes <= 8 x file + 64 MiB.
PtValue load_pt_tree(const std::filesystem::path& path);
PtValue parse_pt(std::span<const char> bytes, const std::string& place);

// .pt, .safetensors (by content); used for imports of weights.
NamedTensors load_weights(const std::filesystem::path& path);

}  // namespace ups::io
