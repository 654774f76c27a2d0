// HDF5 filter 32000 (h5py's LZF) decoded in-process, so that no plugin is ever loaded.
#pragma once

namespace ups::io {

inline constexpr int kLzfFilter = 32000;
void register_lzf();  // hold hdf5_lock()

}  // namespace ups::io
