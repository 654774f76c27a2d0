// Networks from options and data.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "ups/models/field_operator.h"
#include "ups/models/options.h"
#include "ups/stages/field_space.h"

namespace ups::stages {

// What a stage asks of its network.
struct NetSpec {
  int64_t in_channels = 1, out_channels = 1;
  bool condition_tau = false;
  bool steady = false;
  uint64_t seed = 17;
};

// Which network, and its sizes.
struct NetOptions {
  std::string architecture = "pdet_window";
  models::PdetOptions pdet;
  models::FnoOptions fno;
  models::UnetOptions unet;
  int64_t latent_dim = 32;       // pdet_unet: between a trained patch embedding to latent_dim and its inverse
  std::optional<int64_t> patch;  // pdet_*
};

// Throws Error (exit 2) for an architecture that is not available and for sizes that do not fit the grid.
std::unique_ptr<models::FieldModel> build_net(const FieldSpace& space, const NetSpec& spec, const NetOptions& options);

// One function per architecture; build_net chooses. fno and unet know no noise level: of a steady prior's input they see the
// coefficients alone, so that its mean mode is all it has.
std::unique_ptr<models::FieldModel> build_pdet_window(const FieldSpace& space, const NetSpec& spec, const NetOptions& options);
std::unique_ptr<models::FieldModel> build_pdet_unet(const FieldSpace& space, const NetSpec& spec, const NetOptions& options);
std::unique_ptr<models::FieldModel> build_fno(const FieldSpace& space, const NetSpec& spec, const models::FnoOptions& options);
std::unique_ptr<models::FieldModel> build_unet(const FieldSpace& space, const NetSpec& spec, const models::UnetOptions& options);

}  // namespace ups::stages
