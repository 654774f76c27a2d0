// Muon through ATen: any device and dtype, equal shapes batched. Masked by selection, so nothing waits for the device.
#include <ATen/ATen.h>

#include <algorithm>
#include <compare>
#include <map>
#include <utility>

#include "ups/optim/muon_backend.h"

namespace ups::optim {
namespace {

class MuonAten final : public MuonBackend {
 public:
  MuonAten(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members)
      : options_(options), slots_(slots), members_(std::move(members)) {}

  void step(double lr, const at::Tensor& found_inf) override {
    std::vector<size_t> active;
    for (const size_t i : members_)
      if (slots_[i].grad.defined() && slots_[i].w.numel() > 0) active.push_back(i);
    const at::Tensor skip = found_inf.defined() ? found_inf.eq(1) : at::Tensor();
    std::map<size_t, at::Tensor> update;  // by slot: c*O, rows by columns
    std::map<size_t, at::Tensor> momentum, row_squares;
    std::map<Key, std::vector<Piece>> groups;
    for (const size_t i : active) {
      const MuonSlot& s = slots_[i];
      const at::Tensor m = at::lerp(s.m, s.grad, 1 - options_.beta);
      const at::Tensor u = (options_.nesterov ? at::lerp(s.grad, m, options_.beta) : m).view({-1, s.columns});
      momentum.emplace(i, m);
      update.emplace(i, at::empty_like(u));
      if (options_.normuon) row_squares.emplace(i, s.row_squares.clone());
      for (const MuonBlock& b : s.blocks) {
        at::Tensor piece = u.narrow(0, b.row, b.rows);
        const bool tall = b.rows > s.columns;
        if (tall) piece = piece.t();
        Key key{piece.size(0), piece.size(1), static_cast<int>(u.scalar_type()), u.device().index()};
        if (options_.backend == MuonOptions::Backend::loop) key.serial = static_cast<int64_t>(groups.size());
        groups[key].push_back({i, &b, piece, tall});
      }
    }
    for (auto& [key, pieces] : groups) orthogonalize_group(pieces, update, row_squares);
    for (const size_t i : active) {
      MuonSlot& s = slots_[i];
      const at::Tensor o = update.at(i).view(s.m.sizes());
      // W - (lr*wd*W + lr*O): forming 1 - lr*wd first would round in one direction at every step.
      const at::Tensor w = s.w.to(o.scalar_type());
      const at::Tensor decayed = options_.cautious ? at::where((w * o).ge(0), w, at::zeros_like(w)) : w;
      const at::Tensor next = w - at::add(at::mul(o, lr), decayed, lr * options_.weight_decay);
      if (skip.defined()) {
        s.m.copy_(at::where(skip, s.m, momentum.at(i)));
        s.w.copy_(at::where(skip, s.w, next.to(s.w.scalar_type())));
        if (options_.normuon) s.row_squares.copy_(at::where(skip, s.row_squares, row_squares.at(i)));
      } else {
        s.m.copy_(momentum.at(i));
        s.w.copy_(next);
        if (options_.normuon) s.row_squares.copy_(row_squares.at(i));
      }
    }
  }

 private:
  struct Key {
    int64_t rows, columns;
    int dtype;
    int device;
    int64_t serial = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Piece {
    size_t slot;
    const MuonBlock* block;
    at::Tensor u;  // wide
    bool tall;
  };

  at::ScalarType compute_type(const at::Tensor& u) const {
    if (options_.compute != at::ScalarType::Undefined) return options_.compute;
    return u.device().is_cpu() ? u.scalar_type() : at::kBFloat16;
  }

  // NorMuon on O of a matrix whose rows have the averages v, which become the next ones.
  at::Tensor equal_rows(const at::Tensor& o, const at::Tensor& v) const {
    v.lerp_(o.square().mean(1), 1 - options_.normuon_beta2);
    const at::Tensor scaled = o / v.sqrt().clamp_min(kSmallestRow).unsqueeze(1);
    return scaled * (o.norm() / scaled.norm().clamp_min(kSmallestRow));
  }

  void orthogonalize_group(const std::vector<Piece>& pieces, const std::map<size_t, at::Tensor>& update,
                           const std::map<size_t, at::Tensor>& row_squares) const {
    std::vector<at::Tensor> list;
    for (const Piece& p : pieces) list.push_back(p.u);
    const at::Tensor bank = at::stack(list);
    const at::Tensor o = options_.backend == MuonOptions::Backend::svd
                             ? polar_svd(bank)
                             : orthogonalize(bank, options_.schedule, options_.eps, compute_type(bank));
    for (size_t k = 0; k < pieces.size(); ++k) {
      const Piece& p = pieces[k];
      at::Tensor result = o.select(0, static_cast<int64_t>(k));
      if (p.tall) result = result.t();
      if (options_.normuon) {
        const at::Tensor v = row_squares.at(p.slot).narrow(0, p.block->row, p.block->rows);
        result = equal_rows(result.to(v.scalar_type()), v);
      }
      at::Tensor target = update.at(p.slot).narrow(0, p.block->row, p.block->rows);
      at::mul_out(target, result, at::scalar_tensor(p.block->factor, result.options()));
    }
  }

  MuonOptions options_;
  std::vector<MuonSlot>& slots_;
  std::vector<size_t> members_;
};

}  // namespace

std::unique_ptr<MuonBackend> make_muon_aten(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members) {
  return std::make_unique<MuonAten>(options, slots, std::move(members));
}

}  // namespace ups::optim
