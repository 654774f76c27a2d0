// What the benchmarks of a training step share: everything after the backward pass, in the trainer's order, and the dialogue with the
// Python scripts over stdin and stdout:
//   losses N -> N losses of consecutive steps      time N -> wall and CPU milliseconds per step over N steps
//   threads N -> ok
//   count N -> per step: kernels, copies between host and device, waits for the device
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include "bench_device.h"
#include "ups/core/process.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/optimizer.h"

namespace ups::bench {

// The options of a benchmark's optimizer: learning rate 1e-3, otherwise the library's defaults.
inline optim::OptimizerOptions optimizer_options(const std::string& name, double weight_decay) {
  optim::OptimizerOptions options;
  options.name = name;
  options.lr = 1e-3;
  options.weight_decay = weight_decay;
  return options;
}

// Clip 1.0, average .999.
class Update {
 public:
  Update(optim::ParamList params, const optim::OptimizerOptions& options, bool warm_up_average = false) : params_(std::move(params)) {
    optimizer_ = optim::make_optimizer(options, params_);
    std::vector<std::pair<std::string, at::Tensor>> values;
    for (const auto& p : params_) values.emplace_back(p.name, p.tensor);
    ema_ = std::make_unique<optim::Ema>(optim::EmaOptions{0.999, warm_up_average}, values);
  }

  void read() {
    if (!params_.front().tensor.is_cpu()) {  // as the trainer: nothing is read on the host
      optim::unscale_and_norm(params_, {}, pass_);
      return optim::clip_(params_, pass_.norm, 1.0);
    }
    optim::read_gradients(params_, 1, pass_);
    optim::multiply_on_read(*optimizer_, pass_.pending * optim::clip_factor(pass_.norm.item<double>(), 1.0));
  }
  void optimize() { optimizer_->step(pass_.found_inf); }
  void finish() {
    ema_->update(pass_.found_inf);
    optimizer_->zero_grad();
  }
  void operator()() {
    read();
    optimize();
    finish();
  }

 private:
  optim::ParamList params_;
  optim::GradPass pass_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<optim::Ema> ema_;
};

// Answers until stdin ends. step() makes one training step on the device and returns its loss.
template <class Step>
void serve(const Step& step, at::Device device = at::kCPU) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string command;
    int n = 0;
    in >> command >> n;
    if (command == "threads") {
      at::set_num_threads(n);
      std::printf("ok\n");
    } else if (command == "losses") {
      for (int i = 0; i < n; ++i) std::printf("%.9g ", step().template item<double>());
      std::printf("\n");
    } else if (command == "count") {
      const Calls calls = count_calls(device, n, [&] { step(); });
      std::printf("%.1f %.1f %.1f\n", calls.kernels, calls.copies, calls.waits);
    } else {
      synchronize(device);
      const double wall = wall_seconds(), cpu = cpu_seconds();
      for (int i = 0; i < n; ++i) step();
      synchronize(device);
      std::printf("%.6f %.6f\n", (wall_seconds() - wall) * 1e3 / n, (cpu_seconds() - cpu) * 1e3 / n);
    }
    std::fflush(stdout);
  }
}

}  // namespace ups::bench
