// The beginning of every trajectory: what training sees of a set whose later frames are kept for judging long rollouts.
#pragma once
#include <memory>

#include "ups/data/dataset.h"

namespace ups::data {

// A view of `whole` with its first n frames; same trajectories, split and hashes. Exit 2 when n is below 2, above the frames of the set, or
// the set is steady.
std::shared_ptr<Dataset> first_frames(std::shared_ptr<Dataset> whole, int64_t n);

}  // namespace ups::data
