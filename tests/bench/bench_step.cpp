// Times one training step of the reference operator's golden configuration; driven by scripts/bench_step.py over stdin and stdout:
//   losses N -> N losses of consecutive steps      time N -> wall and CPU milliseconds per step over N steps
// bench_step BUNDLE [plain]: BUNDLE is the path of the golden bundle without extension; plain uses the unfused kernels.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <sstream>

#include "ups/core/process.h"
#include "ups/io/tensors.h"
#include "ups/models/reference/losses.h"

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
    for (const auto& p : model_.parameters()) {
      params_.push_back(p.tensor);
      m_.push_back(at::zeros_like(p.tensor.detach()));
      v_.push_back(at::zeros_like(p.tensor.detach()));
      steps_.push_back(at::zeros({}));
      ema_.push_back(p.tensor.detach().clone());
    }
  }

  at::Tensor step() {
    for (auto& p : params_) p.mutable_grad() = at::Tensor();
    const at::Tensor loss = ref::operator_loss(model_, z_, dt_, target_, {}).total;
    loss.backward();
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> grads;
    for (const auto& p : params_) grads.push_back(p.grad());
    const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(grads, 2)), 2);
    at::_foreach_mul_(grads, at::clamp_max(1.0 / (norm + 1e-6), 1.0));
    at::_foreach_add_(steps_, 1);
    at::_fused_adamw_(params_, grads, m_, v_, {}, steps_, 1e-3, 0.9, 0.999, 0.03, 1e-8, false, false);
    at::_foreach_lerp_(ema_, params_, 1e-3);
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
  std::vector<at::Tensor> params_, m_, v_, steps_, ema_;
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
    if (command == "losses") {
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
