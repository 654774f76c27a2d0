#include <algorithm>

#include "ups/core/error.h"
#include "ups/models/fno.h"
#include "ups/models/unet.h"
#include "ups/stages/build.h"

namespace ups::stages {
namespace {

// The input of a steady prior without its first `noise` channels.
class CoefficientsOnly : public models::FieldModel {
 public:
  CoefficientsOnly(std::unique_ptr<FieldModel> net, int64_t noise) : net_(std::move(net)), noise_(noise) { add_child("net", *net_); }
  at::Tensor forward(const at::Tensor& x, const models::Condition& condition) override {
    return net_->forward(x.narrow(1, noise_, x.size(1) - noise_), condition);
  }

 private:
  std::unique_ptr<FieldModel> net_;
  int64_t noise_;
};

// Channels, grid and seed, which every opponent's config has.
template <class Net, class Config>
std::unique_ptr<models::FieldModel> build_opponent(const FieldSpace& space, const NetSpec& spec, Config c) {
  c.in_channels = spec.steady ? spec.in_channels - spec.out_channels : spec.in_channels;
  c.out_channels = spec.out_channels;
  c.grid = space.grid();
  c.seed = spec.seed;
  auto net = std::make_unique<Net>(std::move(c));
  if (spec.steady) return std::make_unique<CoefficientsOnly>(std::move(net), spec.out_channels);
  return net;
}

}  // namespace

std::unique_ptr<models::FieldModel> build_fno(const FieldSpace& space, const NetSpec& spec, const models::FnoOptions& o) {
  const auto& info = space.info();
  models::FnoConfig c;
  const auto grid = space.grid();
  bool open = false;
  for (size_t a = 0; a < grid.size(); ++a) {
    c.padding.push_back(o.padding.value_or(info.periodic(a) ? 0 : 2));
    open = open || !info.periodic(a);
    const int64_t most = (grid[a] + c.padding.back()) / 2;
    if (o.modes > most)
      throw usage_error("operator.fno.modes", std::to_string(o.modes) + " modes on " + std::to_string(grid[a]) + " cells", "at most " + std::to_string(most));
  }
  c.width = o.width;
  c.modes = o.modes;
  c.layers = o.layers;
  c.head = o.head;
  c.grid_channel = o.grid_channel.value_or(open);
  return build_opponent<models::Fno>(space, spec, std::move(c));
}

std::unique_ptr<models::FieldModel> build_unet(const FieldSpace& space, const NetSpec& spec, const models::UnetOptions& o) {
  const auto grid = space.grid();
  models::UnetConfig c;
  for (size_t a = 0; a < grid.size(); ++a) c.periodic.push_back(space.info().periodic(a));
  c.features = o.features;
  c.levels = o.levels;
  c.max_features = std::max(o.max_features, o.features);
  const int64_t cells = *std::min_element(grid.begin(), grid.end());
  if (int64_t{1} << (c.levels - 1) > cells)
    throw usage_error("operator.unet.levels", std::to_string(c.levels) + " levels on " + std::to_string(cells) + " cells", "each level halves the cells");
  return build_opponent<models::Unet>(space, spec, std::move(c));
}

}  // namespace ups::stages
