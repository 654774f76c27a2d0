// Muon: momentum, orthogonalization per matrix, scaled update (optim.md 2). State per parameter: momentum_buffer in EMA form,
// M <- M + (1-mu)(G - M).
#pragma once
#include <memory>

#include "ups/optim/muon_backend.h"
#include "ups/optim/optimizer.h"

namespace ups::optim {

// How a parameter is cut into matrices. Default: A = size(0), B = the rest.
struct MuonParam {
  Param param;
  std::optional<MuonSplit> split;
};

class Muon final : public Optimizer {
 public:
  Muon(const MuonOptions& options, const std::vector<MuonParam>& params);
  ~Muon() override;
  void step(const at::Tensor& found_inf) override;
  std::vector<GroupInfo> groups() const override;
  void set_lrs(std::span<const double> lrs) override;
  std::vector<double> lrs() const override { return {lr_}; }
  NamedTensors state() const override;
  std::string summary() const override;
  const ParamList& params() const override { return params_; }
  const MuonOptions& options() const { return options_; }

 private:
  MuonOptions options_;
  double lr_;
  ParamList params_;
  std::vector<MuonSlot> slots_;
  std::unique_ptr<MuonBackend> host_, device_;
};

}  // namespace ups::optim
