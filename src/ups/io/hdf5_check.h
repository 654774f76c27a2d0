// The checks behind io/hdf5.h. Internal to io: ids are HDF5's hid_t; callers hold hdf5_lock().
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ups/io/hdf5.h"

namespace ups::io {

// Deepest message of HDF5's error stack, then clears it.
std::string hdf5_reason();
// Every rule of data.md 4 for one open dataset; place is "file:/object".
H5DatasetInfo check_dataset(int64_t dataset, const std::string& place, const H5Limits& limits);
std::vector<H5Attribute> read_attributes(int64_t object, const std::string& place);
// Dataset access list whose cache holds one row of chunks (all chunks that share their first two coordinates), within the bound.
int64_t chunk_cache_plist(const H5DatasetInfo& info, int64_t max_bytes);

}  // namespace ups::io
