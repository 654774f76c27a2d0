// Times one training step of the opponent FNO (fno_fixed: forward, relative loss, backward, clip, AdamW, EMA); driven by
// scripts/bench_fno.py over stdin and stdout:
//   losses N -> N losses of consecutive steps      time N -> wall and CPU milliseconds per step over N steps
// bench_fno FILE MODES [plain]: FILE holds state/NAME, input and target as safetensors; plain uses the unfused kernels.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <sstream>

#include "ups/core/process.h"
#include "ups/io/tensors.h"
#include "ups/models/field_operator.h"
#include "ups/models/fno.h"
#include "ups/models/fused_ops.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/grad_ops.h"
#include "ups/optim/optimizer.h"
#include "ups/stages/field_space.h"

namespace {

class Trainer {
 public:
  Trainer(const std::string& file, int64_t modes) {
    std::vector<std::pair<std::string, at::Tensor>> state;
    for (const auto& [name, tensor] : ups::io::load_safetensors(file)) {
      if (name == "input") z_ = tensor;
      if (name == "target") target_ = tensor;
      if (name.rfind("state/", 0) == 0) state.emplace_back(name.substr(6), tensor);
    }
    ups::models::FnoConfig c;
    c.in_channels = c.out_channels = z_.size(1);
    c.grid = z_.sizes().slice(2).vec();
    c.padding.assign(c.grid.size(), 0);
    c.modes = modes;
    for (const auto& [name, tensor] : state)
      if (name == "fc0.weight") c.width = tensor.size(0);
    auto net = std::make_unique<ups::models::Fno>(c);
    for (const auto& [name, tensor] : net->buffers()) state.emplace_back(name, tensor.clone());
    net->load_state(state, file);
    model_ = std::make_unique<ups::models::FieldOperator>(std::move(net), std::vector<double>{0.1}, c.grid.size());
    params_ = model_->parameters();
    ups::optim::OptimizerOptions options;
    options.name = "adamw";
    options.lr = 1e-3;
    options.weight_decay = 1e-4;
    optimizer_ = ups::optim::make_optimizer(options, params_);
    std::vector<std::pair<std::string, at::Tensor>> values;
    for (const auto& p : params_) values.emplace_back(p.name, p.tensor);
    ema_ = std::make_unique<ups::optim::Ema>(ups::optim::EmaOptions{0.999, false}, values);
  }

  // The trainer's order: norm and finite flag, clip, optimizer, average.
  at::Tensor step() {
    const at::Tensor loss = ups::stages::relative_error(model_->step(z_, {}) - target_, target_);
    loss.backward();
    ups::optim::read_gradients(params_, 1, pass_);
    ups::optim::multiply_on_read(*optimizer_, pass_.pending * ups::optim::clip_factor(pass_.norm.item<double>(), 1.0));
    optimizer_->step(pass_.found_inf);
    ema_->update(pass_.found_inf);
    optimizer_->zero_grad();
    return loss;
  }

 private:
  std::unique_ptr<ups::models::FieldOperator> model_;
  at::Tensor z_, target_;
  ups::optim::ParamList params_;
  ups::optim::GradPass pass_;
  std::unique_ptr<ups::optim::Optimizer> optimizer_;
  std::unique_ptr<ups::optim::Ema> ema_;
};

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "bench_fno: give the file that scripts/bench_fno.py writes and the number of modes\n";
    return 2;
  }
  ups::raise_malloc_thresholds();
  at::set_num_threads(1);
  if (argc > 3 && std::string(argv[3]) == "plain") ups::models::fused::set_enabled(false);
  Trainer trainer(argv[1], std::stoll(argv[2]));
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
