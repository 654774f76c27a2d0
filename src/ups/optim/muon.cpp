#include "ups/optim/muon.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "ups/optim/orth_host.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

MuonSlot make_slot(const MuonOptions& o, const MuonParam& p) {
  MuonSlot s;
  const at::Tensor& t = p.param.tensor;
  s.w = real_view(t.detach());
  const bool low = s.w.scalar_type() == at::kBFloat16 || s.w.scalar_type() == at::kHalf;
  s.m = at::zeros(s.w.sizes(), s.w.options().dtype(low ? at::kFloat : s.w.scalar_type()));
  const int64_t pair = t.is_complex() ? 2 : 1;
  const auto add = [&](int64_t row, int64_t rows, at::IntArrayRef shape) {
    s.blocks.push_back({row, rows, muon_factor(o.scale_mode, o.scale, rows, s.columns, shape)});
  };
  if (t.numel() == 0) return s;
  const auto finish = [&] {
    if (o.normuon) s.row_squares = at::zeros({t.numel() * pair / s.columns}, s.m.options());
    return s;
  };
  if (p.split && p.split->modes) {
    const int64_t rows = t.size(-2), columns = t.size(-1) * pair;
    s.columns = columns;
    const int64_t shape[] = {rows, columns};
    for (int64_t row = 0; row < t.numel() / t.size(-1); row += rows) add(row, rows, shape);
    return finish();
  }
  const int64_t rows = t.size(0);
  s.columns = t.numel() * pair / rows;
  if (!p.split) {
    add(0, rows, t.sizes());
    return finish();
  }
  std::vector<int64_t> heights = p.split->rows;
  if (p.split->heads) heights.assign(static_cast<size_t>(*p.split->heads), rows / *p.split->heads);
  int64_t row = 0;
  for (const int64_t height : heights) {
    std::vector<int64_t> shape = t.sizes().vec();
    shape[0] = height;
    add(row, height, shape);
    row += height;
  }
  return finish();
}

}  // namespace

Muon::Muon(const MuonOptions& options, const std::vector<MuonParam>& params) : options_(options), lr_(options.lr) {
  c10::NoGradGuard no_grad;
  std::vector<size_t> on_host, others;
  for (const auto& p : params) {
    check_trainable(p.param);
    params_.push_back(p.param);
    slots_.push_back(make_slot(options_, p));
    const at::Tensor& w = slots_.back().w;
    const bool exact = options_.compute == at::ScalarType::Undefined || options_.compute == w.scalar_type() ||
                       (options_.compute == at::kBFloat16 && w.scalar_type() == at::kFloat && host::orth_bf16());
    const bool fused = options_.backend == MuonOptions::Backend::automatic || options_.backend == MuonOptions::Backend::fused;
    slots_.back().on_host = host_dense(w) && exact && fused;
    (slots_.back().on_host ? on_host : others).push_back(slots_.size() - 1);
  }
  if (!on_host.empty()) host_ = make_muon_host(options_, slots_, std::move(on_host));
  if (!others.empty()) device_ = make_muon_device(options_, slots_, std::move(others));
}

Muon::~Muon() = default;

void Muon::step(const at::Tensor& found_inf) {
  if (host_masked(found_inf)) return;
  c10::NoGradGuard no_grad;
  for (size_t i = 0; i < slots_.size(); ++i) {
    MuonSlot& s = slots_[i];
    // Contiguous in the order of the matrix rows, in the dtype of the momentum.
    s.grad = gradient_like(params_[i].tensor, s.m);
    if (s.on_host) s.grad_factor = grad_factor_;
    else if (grad_factor_ != 1 && s.grad.defined()) s.grad = s.grad * grad_factor_;
  }
  const at::Tensor flag = found_inf.defined() && !found_inf.device().is_cpu() ? found_inf : at::Tensor();
  if (host_) host_->step(lr_, {});
  if (device_) device_->step(lr_, flag);
  for (auto& s : slots_) s.grad.reset();
}

std::vector<GroupInfo> Muon::groups() const {
  GroupInfo g{"muon", options_.lr, options_.weight_decay, {}};
  // The entries of a matrix with orthonormal rows (or columns) have RMS 1/sqrt(max(A, B)).
  double squares = 0, numbers = 0;
  for (const auto& s : slots_)
    for (const MuonBlock& b : s.blocks) {
      const auto size = static_cast<double>(b.rows * s.columns);
      squares += size * b.factor * b.factor / static_cast<double>(std::max(b.rows, s.columns));
      numbers += size;
    }
  g.unit_rms = numbers > 0 ? std::sqrt(squares / numbers) : 0;
  for (const auto& p : params_) g.params.push_back(p.name);
  return {g};
}

void Muon::set_lrs(std::span<const double> lrs) {
  assert(lrs.size() == 1);
  lr_ = lrs[0];
}

NamedTensors Muon::state() const {
  NamedTensors out;
  for (size_t i = 0; i < slots_.size(); ++i) {
    out.emplace_back(params_[i].name + "/momentum_buffer", slots_[i].m);
    if (slots_[i].row_squares.defined()) out.emplace_back(params_[i].name + "/second_momentum_buffer", slots_[i].row_squares);
  }
  return out;
}

std::string Muon::summary() const {
  constexpr const char* kModes[] = {"match_rms", "original", "spectral", "none", "kj_compat"};
  size_t matrices = 0;
  for (const auto& s : slots_) matrices += s.blocks.size();
  return fmt::format("Muon {} tensors ({} matrices), lr {}, momentum {}{}, {} {} steps, scale {} {}, weight decay {}{}{}", slots_.size(),
                     matrices, options_.lr, options_.beta, options_.nesterov ? " (Nesterov)" : "", options_.schedule_name,
                     options_.schedule.steps.size(), kModes[static_cast<size_t>(options_.scale_mode)], options_.scale,
                     options_.weight_decay, options_.cautious ? " (cautious)" : "",
                     options_.normuon ? fmt::format(", NorMuon beta2 {}", options_.normuon_beta2) : "");
}

}  // namespace ups::optim
