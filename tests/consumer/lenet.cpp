// Trains a LeNet-size network on synthetic images with the VAE preset. Exit 0 if the loss falls at least tenfold and the network
// recognises fresh images.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ups/optim/optimizer.h>
#include <ups/optim/presets.h>
#include <ups/optim/schedule.h>

#include <cmath>
#include <iostream>

namespace {

class LeNet {
 public:
  LeNet() {
    add("conv1", {6, 1, 5, 5});
    add("conv2", {16, 6, 5, 5});
    add("fc1", {120, 400});
    add("fc2", {84, 120});
    add("fc3", {10, 84});
  }
  at::Tensor operator()(const at::Tensor& images) const {
    const auto pooled = [](const at::Tensor& x) { return at::max_pool2d(at::relu(x), {2, 2}); };
    at::Tensor x = pooled(at::conv2d(images, w(0), b(0), 1, at::IntArrayRef{2}));
    x = pooled(at::conv2d(x, w(1), b(1))).flatten(1);
    x = at::relu(at::linear(x, w(2), b(2)));
    x = at::relu(at::linear(x, w(3), b(3)));
    return at::linear(x, w(4), b(4));
  }
  const ups::optim::ParamList& parameters() const { return params_; }

 private:
  void add(const std::string& name, at::IntArrayRef shape) {
    const double fan_in = static_cast<double>(shape[1] * (shape.size() == 4 ? 25 : 1));
    params_.push_back({name + ".weight", at::randn(shape).div_(std::sqrt(fan_in)).set_requires_grad(true)});
    params_.push_back({name + ".bias", at::randn({shape[0]}).mul_(0.01).set_requires_grad(true)});
  }
  const at::Tensor& w(size_t layer) const { return params_[2 * layer].tensor; }
  const at::Tensor& b(size_t layer) const { return params_[2 * layer + 1].tensor; }
  ups::optim::ParamList params_;
};

// Ten smooth random patterns of 28 x 28 under noise of several times their size.
struct Images {
  at::Tensor patterns = at::upsample_bilinear2d(at::randn({10, 1, 7, 7}), {28, 28}, false);
  std::pair<at::Tensor, at::Tensor> draw(int64_t count) const {
    const at::Tensor labels = at::randint(10, {count}, at::kLong);
    return {patterns.index_select(0, labels).add(at::randn({count, 1, 28, 28}), 2), labels};
  }
};

}  // namespace

int main() {
  constexpr int kEpochs = 10, kSteps = 10;
  at::manual_seed(3);
  const Images images;
  const LeNet net;
  const auto options = ups::optim::presets::vae_conservative();
  const auto optimizer = ups::optim::make_optimizer(options, net.parameters());
  std::cout << optimizer->summary() << "\n";
  const auto groups = optimizer->groups();
  double first = 0, last = 0;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    std::vector<double> rates;
    for (const auto& g : groups) rates.push_back(ups::optim::lr_at(*options.scheduler, g.base_lr, epoch, kEpochs));
    optimizer->set_lrs(rates);
    for (int step = 0; step < kSteps; ++step) {
      const auto [x, labels] = images.draw(64);
      optimizer->zero_grad();
      const at::Tensor loss = at::cross_entropy_loss(net(x), labels);
      loss.backward();
      optimizer->step();
      last = loss.item<double>();
      if (epoch + step == 0) first = last;
    }
    std::cout << "epoch " << epoch << ": Muon lr " << rates[0] << ", loss " << last << "\n";
  }
  const auto [x, labels] = images.draw(1000);
  const double right = net(x).argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
  std::cout << "loss " << first << " -> " << last << ", " << 100 * right << " % of 1000 fresh images right\n";
  return last < first / 10 && right > 0.95 ? 0 : 1;
}
