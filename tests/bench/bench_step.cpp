// Times one training step of the reference operator's golden configuration; driven by scripts/bench_step.py over stdin and stdout:
//   losses N -> N losses of consecutive steps      time N -> wall and CPU milliseconds per step over N steps
//   threads N -> ok
// bench_step BUNDLE [plain]: BUNDLE is the path of the golden bundle without extension; plain uses the unfused kernels.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <sstream>

#include "ups/core/process.h"
#include "ups/io/tensors.h"
#include "ups/models/reference/losses.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/optimizer.h"

namespace {

namespace ref = ups::models::reference;

class Trainer {
 public:
  Trainer(const std::string& bundle, bool plain) : model_(config(), 1) {
    model_.load_state(ups::io::load_safetensors(bundle + ".state.safetensors"), bundle);
    if (plain) model_.set_kernels(ref::Kernels::plain);
    for (const auto& [name, tensor] : ups::io::load_safetensors(bundle + ".safetensors")) {
      if (name == "input/z") z_ = tensor;
      if (name == "input/dt") dt_ = tensor;
      if (name == "input/target") target_ = tensor;
    }
    params_ = model_.parameters();
    ups::optim::OptimizerOptions options;
    options.name = "adamw";
    options.lr = 1e-3;
    options.weight_decay = 0.03;
    optimizer_ = ups::optim::make_optimizer(options, params_);
    std::vector<std::pair<std::string, at::Tensor>> values;
    for (const auto& p : params_) values.emplace_back(p.name, p.tensor);
    ema_ = std::make_unique<ups::optim::Ema>(ups::optim::EmaOptions{0.999, false}, values);
  }

  // The trainer's order: norm and finite flag, clip, optimizer, average.
  at::Tensor step() {
    const at::Tensor loss = ref::operator_loss(model_, z_, dt_, target_, {}).total;
    loss.backward();
    ups::optim::read_gradients(params_, 1, pass_);
    ups::optim::multiply_on_read(*optimizer_, pass_.pending * ups::optim::clip_factor(pass_.norm.item<double>(), 1.0));
    optimizer_->step(pass_.found_inf);
    ema_->update(pass_.found_inf);
    optimizer_->zero_grad();
    return loss;
  }

 private:
  static ref::LatentOperatorConfig config() {
    ref::LatentOperatorConfig c;
    c.time_embed_dim = 16;
    return c;
  }
  ref::LatentOperator model_;
  at::Tensor z_, dt_, target_;
  ups::optim::ParamList params_;
  ups::optim::GradPass pass_;
  std::unique_ptr<ups::optim::Optimizer> optimizer_;
  std::unique_ptr<ups::optim::Ema> ema_;
};

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "bench_step: give the path of the golden bundle without extension\n";
    return 2;
  }
  ups::raise_malloc_thresholds();
  at::set_num_threads(1);
  Trainer trainer(argv[1], argc > 2 && std::string(argv[2]) == "plain");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string command;
    int n = 0;
    in >> command >> n;
    if (command == "threads") {
      at::set_num_threads(n);
      std::printf("ok\n");
    } else if (command == "losses") {
      for (int i = 0; i < n; ++i) std::printf("%.9g ", trainer.step().item<double>());
      std::printf("\n");
    } else {
      const auto wall = std::chrono::steady_clock::now();
      const double cpu = cpu_seconds();
      for (int i = 0; i < n; ++i) trainer.step();
      const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - wall;
      std::printf("%.6f %.6f\n", ms.count() / n, (cpu_seconds() - cpu) * 1e3 / n);
    }
    std::fflush(stdout);
  }
  return 0;
}
