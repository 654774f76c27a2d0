// Networks from options and data.
#pragma once
#include <memory>

#include "ups/models/field_operator.h"
#include "ups/models/options.h"
#include "ups/stages/field_space.h"

namespace ups::stages {

struct NetSpec {
  int64_t in_channels = 1, out_channels = 1;
  bool condition_tau = false;
  bool steady = false;
  uint64_t seed = 17;
};

// architecture: pdet_window or pdet_unet (between a trained patch embedding to latent_dim and its inverse).
// Throws Error (exit 2) for sizes that do not fit the grid.
std::unique_ptr<models::FieldModel> build_net(const FieldSpace& space, const NetSpec& spec, const models::PdetOptions& options,
                                              const std::string& architecture, int64_t latent_dim, std::optional<int64_t> patch);

}  // namespace ups::stages
