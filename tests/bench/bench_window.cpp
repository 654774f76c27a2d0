// Times one training step of pdet_window as configs/burgers_nu0.01.yaml has it (256 cells, one token each, batch 8 = 2,048 tokens,
// one thread): forward, relative loss, backward; then the trainer's gradient pass, optimizer and average. The plain ATen path and the
// fused one in turn, each with AdamW and with hybrid Muon; medians.   bench_window [ROUNDS 15] [STEPS 10] [PART OF A ROW'S NAME]
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "bench_update.h"
#include "ups/models/fused_ops.h"
#include "ups/models/pde_transformer.h"

namespace {

using namespace ups;

double cpu_ms() { return cpu_seconds() * 1e3; }

class Contender {
 public:
  Contender(bool fused, const std::string& optimizer) : fused_(fused), name_(std::string(fused ? "fused" : "plain") + ", " + optimizer) {
    models::PdeTransformerConfig c;
    c.grid = {256};
    c.periodic = {true};
    c.patch = 1;
    c.hidden = 24;
    c.depths = {2, 1};
    c.mlp_ratio = 0;
    c.modes = 12;
    c.transport = true;
    c.condition_dt = false;
    model_ = std::make_unique<models::PdeTransformer>(c);
    update_ = std::make_unique<bench::Update>(model_->parameters(), bench::optimizer_options(optimizer, 1e-4), true);
    auto generator = at::detail::createCPUGenerator(1);
    x_ = at::randn({kBatch, 1, 256}, generator);
    y_ = at::randn({kBatch, 1, 256}, generator);
  }

  void round(int steps) {
    models::fused::set_enabled(fused_);
    double network = 0, update = 0, optimizer = 0;
    for (int i = 0; i < steps; ++i) {
      const double begin = cpu_ms();
      const at::Tensor out = model_->forward(x_, {});
      ((out - y_).square().sum({1, 2}) / y_.square().sum({1, 2})).mean().backward();
      const double middle = cpu_ms();
      update_->read();
      const double read = cpu_ms();
      update_->optimize();
      const double stepped = cpu_ms();
      update_->finish();
      const double end = cpu_ms();
      network += middle - begin;
      update += end - middle;
      optimizer += stepped - read;
    }
    network_time_.push_back(network / steps);
    update_time_.push_back(update / steps);
    optimizer_time_.push_back(optimizer / steps);
  }

  void report() {
    const double network = median(network_time_), update = median(update_time_), optimizer = median(optimizer_time_);
    fmt::print("{:20s} {:9.3f} {:9.3f} {:9.3f} {:8.1f} % {:12.0f}\n", name_, network, update, optimizer, 100 * optimizer / network,
               1e3 * kBatch / (network + update));
  }
  const std::string& name() const { return name_; }
  int64_t parameters() const { return model_->parameter_count(); }

 private:
  static constexpr int64_t kBatch = 8;
  static double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  }
  bool fused_;
  std::string name_;
  std::unique_ptr<models::PdeTransformer> model_;
  std::unique_ptr<bench::Update> update_;
  at::Tensor x_, y_;
  std::vector<double> network_time_, update_time_, optimizer_time_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 15, steps = argc > 2 ? std::max(1, std::atoi(argv[2])) : 10;
  raise_malloc_thresholds();
  at::set_num_threads(1);
  std::vector<std::unique_ptr<Contender>> all;
  for (const bool fused : {false, true})
    for (const char* optimizer : {"adamw", "muon_hybrid"}) {
      all.push_back(std::make_unique<Contender>(fused, optimizer));
      if (all.back()->name().find(argc > 3 ? argv[3] : "") == std::string::npos) all.pop_back();
    }
  if (all.empty()) return 2;
  for (auto& c : all) c->round(steps);  // warm-up, reported with the others: one of many rounds
  for (int r = 0; r < rounds; ++r)
    for (auto& c : all) c->round(steps);
  fmt::print("{} parameters; medians of {} interleaved rounds of {} steps, CPU milliseconds of one thread\n", all[0]->parameters(), rounds + 1, steps);
  fmt::print("{:20s} {:>9s} {:>9s} {:>9s} {:>10s} {:>12s}\n", "", "fwd+bwd", "update", "optimizer", "of fwd+bwd",
             "samples/CPU-s");
  for (auto& c : all) c->report();
  return 0;
}
