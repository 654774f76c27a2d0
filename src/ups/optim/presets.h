// The optimizers of the two source plans, as functions. configs/optim/<name>.yaml holds the same values for configuration files; a test
// compares the two.
#pragma once
#include <span>
#include <string_view>

#include "ups/optim/options.h"

namespace ups::optim::presets {

// Universal Physics Stack: Muon for matrices and AdamW for the rest, one rate and one decay for both families. Training without
// gradient clipping goes with them.
OptimizerOptions ups_operator();
OptimizerOptions ups_diff_residual();        // cosine over 8 epochs
OptimizerOptions ups_consistency_distill();  // the same with a smaller rate

// Variational autoencoder: Keller Jordan's Muon for every tensor of two or more dimensions, AdamW for vectors. From conservative to
// aggressive Muon's rate grows and AdamW's shrinks.
OptimizerOptions vae_conservative();
OptimizerOptions vae_moderate();
OptimizerOptions vae_aggressive();
// Patch and total-correlation discriminators beside such an autoencoder.
OptimizerOptions discriminator();

// The functions above by name: "ups_operator" ..; for programs that let their users choose.
std::span<const std::string_view> names();
// Throws Error (exit 2) for an unknown name.
OptimizerOptions by_name(std::string_view name);

}  // namespace ups::optim::presets
