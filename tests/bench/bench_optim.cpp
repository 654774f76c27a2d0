// Times the optimizers on the parameter lists of optim.md 10; driven by scripts/bench_optim.py (and bench_gpu.py) over stdin and stdout.
// bench_optim [DEVICE], default cpu:
//   threads N                 -> ok
//   CENSUS KIND time N        -> wall milliseconds per step over N steps
//   CENSUS KIND count N       -> per step: kernels, copies between host and device, waits for the device
//   CENSUS KIND check N       -> N steps on weights of seed 0 and gradients of seed 1, then the norm of every parameter
//   orth ROWS COLUMNS TYPE N  -> milliseconds per orthogonalization on one thread (TYPE fp32 or bf16); 0: this CPU lacks bf16
// KIND: hybrid, hybrid_bf16 (Muon + AdamW), adamw, grads (unscale, finite flag, norm, clip: gradients are rewritten),
// folded (CPU only: the same without rewriting, the factor is left for the optimizer to multiply by).
// CENSUS: shapes such as 5x192x96,32x96 (count first) as one word; the driver owns the lists.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>

#include "bench_device.h"
#include "ups/core/process.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/orth_host.h"

namespace {

namespace optim = ups::optim;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) { return std::chrono::duration<double, std::milli>(Clock::now() - since).count(); }

optim::ParamList make_params(const std::string& census, at::Device device) {
  auto weights = at::detail::createCPUGenerator(0), gradients = at::detail::createCPUGenerator(1);
  optim::ParamList out;
  std::istringstream groups(census);
  for (std::string group; std::getline(groups, group, ',');) {
    std::istringstream in(group);
    std::vector<int64_t> numbers;
    for (std::string n; std::getline(in, n, 'x');) numbers.push_back(std::stoll(n));
    const std::vector<int64_t> shape(numbers.begin() + 1, numbers.end());
    for (int64_t i = 0; i < numbers.at(0); ++i) {
      const at::Tensor w = at::randn(shape, weights, at::TensorOptions()).mul_(0.02).to(device).set_requires_grad(true);
      w.mutable_grad() = at::randn(shape, gradients, at::TensorOptions()).mul_(0.01).to(device);
      out.push_back({"p" + std::to_string(out.size()), w, optim::Role::hidden});
    }
  }
  return out;
}

// PyTorch's Muon with match_rms_adamw beside AdamW: the opponents' settings.
optim::OptimizerOptions options(const std::string& kind) {
  optim::OptimizerOptions o;
  o.name = kind == "adamw" ? "adamw" : "muon_hybrid";
  o.lr = 1e-3;
  o.weight_decay = 0.03;
  o.muon_beta = 0.95;
  o.muon_schedule = "kj";
  o.muon_eps_mode = "clamp";
  if (kind == "hybrid_bf16") o.muon_dtype = "bf16";
  return o;
}

class Case {
 public:
  Case(const std::string& census, const std::string& kind, at::Device device)
      : kind_(kind), params_(make_params(census, device)), two_(at::full({}, 2.0f, device)), half_(at::full({}, 0.5f, device)) {
    if (kind.rfind("hybrid", 0) == 0 || kind == "adamw") optimizer_ = optim::make_optimizer(options(kind), params_);
    limit_ = optim::unscale_and_norm(params_).norm.item<double>();
  }

  void step() {
    if (optimizer_) return optimizer_->step();
    // Scales that undo each other and a limit that sinks: every step unscales and clips.
    up_ = !up_;
    limit_ *= 0.999;
    if (kind_ == "folded") {
      optim::read_gradients(params_, up_ ? 2 : 0.5, pass_);
      factor_ = (up_ ? 2 : 0.5) * optim::clip_factor(*pass_.norm.const_data_ptr<double>(), limit_);
    } else {
      optim::unscale_and_norm(params_, up_ ? two_ : half_, pass_);
      optim::clip_(params_, pass_.norm, up_ ? 2 * limit_ : limit_);
    }
  }

  void print_norms() const {
    for (const auto& p : params_) std::printf("%.9g ", p.tensor.norm().item<double>());
    std::printf("\n");
  }

 private:
  std::string kind_;
  optim::ParamList params_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  optim::GradPass pass_;
  at::Tensor two_, half_;
  bool up_ = false;
  double limit_ = 0, factor_ = 1;
};

double time_orth(int64_t rows, int64_t columns, const std::string& type, int64_t n) {
  const bool low = type == "bf16";
  if (low && !optim::host::orth_bf16()) return 0;
  const at::Tensor u = at::randn({rows, columns});
  std::vector<float> x(static_cast<size_t>(rows * columns)), workspace(
      static_cast<size_t>(optim::host::orth_workspace(rows, columns, optim::OrthVariant::automatic)));
  const auto schedule = optim::ns_schedule("polar_express", 5);
  const double squares = u.square().sum().item<double>();
  const auto run = [&] {
    std::copy_n(u.const_data_ptr<float>(), x.size(), x.data());
    optim::host::orthogonalize(x.data(), rows, columns, squares, schedule, optim::EpsMode::scale_free, optim::OrthVariant::automatic,
                               workspace.data(), low ? optim::host::OrthMath::bf16 : optim::host::OrthMath::own);
  };
  run();
  const auto start = Clock::now();
  for (int64_t i = 0; i < n; ++i) run();
  return milliseconds(start) / static_cast<double>(n);
}

}  // namespace

int main(int argc, char** argv) {
  const at::Device device(argc > 1 ? argv[1] : "cpu");
  c10::NoGradGuard no_grad;
  ups::raise_malloc_thresholds();
  std::map<std::string, std::unique_ptr<Case>> cases;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string first, kind, command;
    int64_t n = 0;
    in >> first;
    if (first == "threads") {
      in >> n;
      at::set_num_threads(static_cast<int>(n));
      std::printf("ok\n");
    } else if (first == "orth") {
      int64_t rows = 0, columns = 0;
      in >> rows >> columns >> kind >> n;
      std::printf("%.6f\n", time_orth(rows, columns, kind, n));
    } else {
      in >> kind >> command >> n;
      auto& c = cases[first + " " + kind];
      if (!c) c = std::make_unique<Case>(first, kind, device);
      if (command == "count") {
        const auto calls = ups::bench::count_calls(device, static_cast<int>(n), [&] { c->step(); });
        std::printf("%.1f %.1f %.1f\n", calls.kernels, calls.copies, calls.waits);
      } else {
        ups::bench::synchronize(device);
        const auto start = Clock::now();
        for (int64_t i = 0; i < n; ++i) c->step();
        ups::bench::synchronize(device);
        if (command == "check") c->print_norms();
        else std::printf("%.6f\n", milliseconds(start) / static_cast<double>(n));
      }
    }
    std::fflush(stdout);
  }
  return 0;
}
