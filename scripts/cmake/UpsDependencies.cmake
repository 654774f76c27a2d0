# Third parties, as imported SYSTEM targets. Debian 12's packages are enough; UPS_DEPS_PREFIX (filled by
# scripts/bundle_deps.sh on a machine with network) replaces them: then nothing but the compiler comes from the system.
if(UPS_DEPS_PREFIX)
  get_filename_component(UPS_DEPS_PREFIX ${UPS_DEPS_PREFIX} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  list(PREPEND CMAKE_PREFIX_PATH ${UPS_DEPS_PREFIX}/usr)
  set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)
endif()
if(NOT LibTorch_ROOT)
  set(LibTorch_ROOT ${CMAKE_SOURCE_DIR}/.deps/libtorch)
endif()
find_package(LibTorch 2.11 REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
if(NOT TARGET yaml-cpp::yaml-cpp)  # 0.7 has the unscoped name only
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()
find_package(CLI11 2.1 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
# Not FindHDF5: it asks the wrapper h5cc, which answers with /usr whatever the prefix, and links curl, ssl and szip for nothing.
find_path(HDF5_INCLUDE_DIR hdf5.h PATH_SUFFIXES hdf5/serial REQUIRED)
find_library(HDF5_LIBRARY NAMES hdf5_serial hdf5 PATH_SUFFIXES hdf5/serial REQUIRED)
add_library(hdf5::hdf5 UNKNOWN IMPORTED)
set_target_properties(hdf5::hdf5 PROPERTIES IMPORTED_LOCATION ${HDF5_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${HDF5_INCLUDE_DIR})
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_path(LZF_INCLUDE_DIR lzf.h PATH_SUFFIXES liblzf REQUIRED)
find_library(LZF_LIBRARY lzf REQUIRED)
find_path(KISSFFT_INCLUDE_DIR kissfft/kissfft.hh REQUIRED)
if(UPS_DEPS_PREFIX)  # a package that is missing there must not come from the system without a word
  foreach(_v yaml-cpp_DIR CLI11_DIR fmt_DIR spdlog_DIR nlohmann_json_DIR ZLIB_INCLUDE_DIR HDF5_LIBRARY HDF5_INCLUDE_DIR
             XXHASH_INCLUDE_DIR LZF_LIBRARY LZF_INCLUDE_DIR KISSFFT_INCLUDE_DIR)
    if(NOT "${${_v}}" MATCHES "^${UPS_DEPS_PREFIX}/")
      message(FATAL_ERROR "${_v} = '${${_v}}' is not inside UPS_DEPS_PREFIX; fill it with scripts/bundle_deps.sh and configure afresh")
    endif()
  endforeach()
endif()

# Header-only use of xxhash (XXH_INLINE_ALL) and kissfft (its C++ template).
add_library(ups_thirdparty_headers INTERFACE)
target_include_directories(ups_thirdparty_headers SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR} ${KISSFFT_INCLUDE_DIR})
target_compile_definitions(ups_thirdparty_headers INTERFACE XXH_INLINE_ALL)
# One fmt, the packaged and compiled one, everywhere: torch's include folder has a newer copy without a library, which would be
# found first in files that see torch and cost 3 s in each. Nothing that ATen.h includes uses fmt.
add_library(ups_fmt INTERFACE)
target_link_libraries(ups_fmt INTERFACE fmt::fmt)
get_target_property(_fmt_inc fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fmt_first)
file(CREATE_LINK ${_fmt_inc}/fmt ${CMAKE_BINARY_DIR}/fmt_first/fmt SYMBOLIC)
include_directories(BEFORE SYSTEM ${CMAKE_BINARY_DIR}/fmt_first)
