// Stands in for muon_cuda.cpp in builds without CUDA.
#include "ups/optim/muon_backend.h"

namespace ups::optim {

std::unique_ptr<MuonBackend> make_muon_device(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members) {
  return make_muon_aten(options, slots, std::move(members));
}

}  // namespace ups::optim
