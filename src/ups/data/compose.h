// Several files as one set.
#pragma once
#include <memory>
#include <vector>

#include "ups/data/batch.h"
#include "ups/data/options.h"
#include "ups/data/source.h"

namespace ups::data {

// What training sees after strides. Files must agree in grid, frames, channels, time, family and parameter names (exit 3 naming
// both); only the parameter values differ. trajectories counts all of all files.
SetInfo compose_info(const std::vector<std::unique_ptr<Source>>& sources, const DataOptions& options);

}  // namespace ups::data
