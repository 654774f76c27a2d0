// Times one training step of the opponent FNO (fno_fixed: forward, relative loss, backward, clip, AdamW, EMA); driven by
// scripts/bench_fno.py (dialogue: bench_update.h).
// bench_fno FILE MODES [plain]: FILE holds state/NAME, input and target as safetensors; plain uses the unfused kernels.
#include <ATen/ATen.h>

#include <iostream>

#include "bench_update.h"
#include "ups/io/tensors.h"
#include "ups/models/field_operator.h"
#include "ups/models/fno.h"
#include "ups/models/fused_ops.h"
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
    update_ = std::make_unique<ups::bench::Update>(model_->parameters(), ups::bench::optimizer_options("adamw", 1e-4));
  }

  at::Tensor step() {
    const at::Tensor loss = ups::stages::relative_error(model_->step(z_, {}) - target_, target_);
    loss.backward();
    (*update_)();
    return loss;
  }

 private:
  std::unique_ptr<ups::models::FieldOperator> model_;
  at::Tensor z_, target_;
  std::unique_ptr<ups::bench::Update> update_;
};

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
  ups::bench::serve([&] { return trainer.step(); });
  return 0;
}
