// Times one training step of the reference operator's golden configuration; driven by scripts/bench_step.py (dialogue: bench_update.h).
// bench_step BUNDLE [plain] [muon_hybrid] [DEVICE]: BUNDLE is the path of the golden bundle without extension; plain uses the unfused
// kernels; the optimizer is AdamW, or Muon for every matrix beside AdamW; DEVICE is cuda or cpu.
#include <ATen/ATen.h>

#include <iostream>

#include "bench_update.h"
#include "ups/io/tensors.h"
#include "ups/models/reference/losses.h"

namespace {

namespace ref = ups::models::reference;

class Trainer {
 public:
  Trainer(const std::string& bundle, bool plain, const std::string& optimizer, at::Device device) : model_(config(), 1) {
    model_.load_state(ups::io::load_safetensors(bundle + ".state.safetensors"), bundle);
    model_.to(device);
    if (plain) model_.set_kernels(ref::Kernels::plain);
    for (const auto& [name, tensor] : ups::io::load_safetensors(bundle + ".safetensors")) {
      if (name == "input/z") z_ = tensor.to(device);
      if (name == "input/dt") dt_ = tensor.to(device);
      if (name == "input/target") target_ = tensor.to(device);
    }
    auto params = model_.parameters();
    for (auto& p : params) p.role = ups::optim::Role::hidden;  // Python's rule: a matrix is Muon's
    auto options = ups::bench::optimizer_options(optimizer, 0.03);
    options.muon_beta = 0.95;  // torch.optim.Muon with match_rms_adamw
    options.muon_schedule = "kj";
    options.muon_eps_mode = "clamp";
    update_ = std::make_unique<ups::bench::Update>(params, options);
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
  bool plain = false;
  std::string optimizer = "adamw";
  at::Device device = at::kCPU;
  for (const std::string& word : std::vector<std::string>(argv + 2, argv + argc)) {
    if (word == "plain") plain = true;
    else if (word == "adamw" || word == "muon_hybrid") optimizer = word;
    else device = at::Device(word);
  }
  Trainer trainer(argv[1], plain, optimizer, device);
  ups::bench::serve([&] { return trainer.step(); }, device);
  return 0;
}
