// Times one training step of the reference operator's golden configuration; driven by scripts/bench_step.py (dialogue: bench_update.h).
// bench_step BUNDLE [plain]: BUNDLE is the path of the golden bundle without extension; plain uses the unfused kernels.
#include <ATen/ATen.h>

#include <iostream>

#include "bench_update.h"
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
    update_ = std::make_unique<ups::bench::Update>(model_.parameters(), "adamw", 0.03);
  }

  at::Tensor step() {
    const at::Tensor loss = ref::operator_loss(model_, z_, dt_, target_, {}).total;
    loss.backward();
    (*update_)();
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
  std::unique_ptr<ups::bench::Update> update_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "bench_step: give the path of the golden bundle without extension\n";
    return 2;
  }
  ups::raise_malloc_thresholds();
  at::set_num_threads(1);
  Trainer trainer(argv[1], argc > 2 && std::string(argv[2]) == "plain");
  ups::bench::serve([&] { return trainer.step(); });
  return 0;
}
