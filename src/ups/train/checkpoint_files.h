// Writing and verifying the files of one checkpoint directory. Private to train/checkpoint*.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "ups/train/checkpoint.h"

namespace ups::train::detail {

// Writes every file and the manifest into the directory dir_fd, and syncs all of them and the directory.
void write_checkpoint(int dir_fd, const std::string& place, const CheckpointContent& content);
// Reads and verifies; throws Error exit 4 "PLACE: FILE: what". Does not look at the directory's name.
CheckpointContent read_checkpoint(const std::filesystem::path& dir);
// Bytes that write_checkpoint will need, roughly.
uint64_t estimate_bytes(const CheckpointContent& content);
// "model: layer.weight", or empty if every floating-point value is finite.
std::string find_non_finite(const CheckpointContent& content);

}  // namespace ups::train::detail
