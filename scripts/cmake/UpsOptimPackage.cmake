# ups::optim as a package of its own: cmake --install <build> --component optim --prefix P, then find_package(ups_optim).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ups_optim)

foreach(_name base optim_options optim)
  set_target_properties(ups_${_name} PROPERTIES EXPORT_NAME ${_name})
endforeach()
target_compile_features(ups_base PUBLIC cxx_std_20)
install(TARGETS ups_base ups_optim_options ups_optim EXPORT ups_optim
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT optim EXCLUDE_FROM_ALL
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ups_optim NAMESPACE ups:: FILE ups_optim-targets.cmake DESTINATION ${_package_dir} COMPONENT optim EXCLUDE_FROM_ALL)

# The public headers and what they include; tests/consumer compiles each of them.
set(_headers adam ema grad_clip grad_ops grad_scaler host_kernels host_pieces hybrid muon muon_backend ns_schedule optimizer options orthogonalize parallel param
  presets python_state routing schedule sgd updates)
list(TRANSFORM _headers REPLACE "(.+)" "src/ups/optim/\\1.h")
install(FILES ${_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ups/optim COMPONENT optim EXCLUDE_FROM_ALL)
install(FILES src/ups/core/error.h src/ups/core/fields.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ups/core COMPONENT optim EXCLUDE_FROM_ALL)

string(REGEX MATCH "^[0-9]+[.][0-9]+" UPS_LIBTORCH_SERIES ${LibTorch_VERSION})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ups_optim-config.cmake.in ${CMAKE_BINARY_DIR}/ups_optim-config.cmake
  INSTALL_DESTINATION ${_package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/ups_optim-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/ups_optim-config.cmake ${CMAKE_BINARY_DIR}/ups_optim-config-version.cmake
  ${CMAKE_CURRENT_LIST_DIR}/FindLibTorch.cmake DESTINATION ${_package_dir} COMPONENT optim EXCLUDE_FROM_ALL)
