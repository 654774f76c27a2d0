// Boundary conditions of The Well's files.
#pragma once
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/io/hdf5.h"

namespace ups::data {

// Per side [x-, x+, y-, ..] of the axes `dims`. As in the package the_well: open where nothing is said; a side is periodic or
// open if any of its cells is in the mask, a wall if all are.
std::vector<Boundary> well_boundary(const io::H5File& file, const std::vector<std::string>& dims, const std::vector<int64_t>& grid,
                                    std::vector<std::string>& notes);

}  // namespace ups::data
