# Helpers: ups_library, ups_program, ups_test. Warnings and sanitizers are one INTERFACE target.
add_library(ups_flags INTERFACE)
set(_warnings -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor $<$<BOOL:${UPS_WERROR}>:-Werror>)
target_compile_options(ups_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${_warnings}>")  # nvcc's generated code is not clean
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of these inside inlined standard library code.
  target_compile_options(ups_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-missing-field-initializers;-Wno-subobject-linkage>")  # the last: unity files
else()
  target_compile_options(ups_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers;-Wno-implicit-int-float-conversion>")
endif()
target_include_directories(ups_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(ups_flags INTERFACE $<$<BOOL:${UPS_TEST_HOOKS}>:UPS_TEST_HOOKS>)
if(UPS_SANITIZE)
  target_compile_options(ups_flags INTERFACE -fsanitize=${UPS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ups_flags INTERFACE -fsanitize=${UPS_SANITIZE})
endif()
target_link_libraries(ups_flags INTERFACE ups_fmt)
# A fast linker if there is one: some forty programs are linked.
find_program(UPS_MOLD ld.mold)
find_program(UPS_LLD ld.lld)
if(UPS_MOLD AND (NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12.1))
  target_link_options(ups_flags INTERFACE -fuse-ld=mold)
elseif(UPS_LLD)
  target_link_options(ups_flags INTERFACE -fuse-ld=lld)
endif()
set(UPS_GOLDEN_DEFAULT ${CMAKE_SOURCE_DIR}/tests/golden)
# Python checks that tests start find torch, numpy and h5py here.
file(REAL_PATH ${LibTorch_ROOT}/.. UPS_PYTHONPATH)
set(UPS_PYTHONPATH ${UPS_PYTHONPATH}:${CMAKE_SOURCE_DIR}/.deps/python)

# Two precompiled headers, shared by all targets: a file that sees torch compiles in 3 s instead of 11. A file with options of
# its own cannot use them (ups_file_options). What a file needs it still includes: preset tidy and the clang check build without.
foreach(kind plain torch)
  add_library(ups_pch_${kind} OBJECT ${CMAKE_SOURCE_DIR}/scripts/cmake/pch_${kind}.cpp)
  target_link_libraries(ups_pch_${kind} PRIVATE ups_flags nlohmann_json::nlohmann_json)
  target_precompile_headers(ups_pch_${kind} PRIVATE ${CMAKE_SOURCE_DIR}/scripts/cmake/pch_${kind}.h)
endforeach()
target_link_libraries(ups_pch_torch PRIVATE LibTorch::torch)
function(ups_share_pch target)
  set(kind plain)
  foreach(dep ${ARGN})
    if(dep MATCHES "^LibTorch")
      set(kind torch)
    elseif(TARGET ${dep})
      get_target_property(seen ${dep} UPS_SEES_TORCH)
      if(seen)
        set(kind torch)
      endif()
    endif()
  endforeach()
  if(kind STREQUAL torch)
    set_target_properties(${target} PROPERTIES UPS_SEES_TORCH ON)
  endif()
  target_precompile_headers(${target} REUSE_FROM ups_pch_${kind})
endfunction()
# ups_file_options(FILE.. OPTIONS -O3 ..): these files are compiled with options of their own.
function(ups_file_options)
  cmake_parse_arguments(A "" "" "OPTIONS" ${ARGN})
  set_source_files_properties(${A_UNPARSED_ARGUMENTS} PROPERTIES COMPILE_OPTIONS "${A_OPTIONS}" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# ups_quick_build(TARGET..): code that runs once per program; the option structs' visitors compile a third faster like this.
function(ups_quick_build)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE -O1)
  endforeach()
endfunction()

# ups_library(NAME SOURCES a.cpp.. DEPS ups::core LibTorch::cpu ..): static library ups_NAME, alias ups::NAME.
function(ups_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(ups_${name} STATIC ${A_SOURCES})
  add_library(ups::${name} ALIAS ups_${name})
  target_link_libraries(ups_${name} PUBLIC ${A_DEPS} PRIVATE $<BUILD_INTERFACE:ups_flags> ${A_PRIVATE_DEPS})
  target_include_directories(ups_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>)
  ups_share_pch(ups_${name} ${A_DEPS} ${A_PRIVATE_DEPS})
endfunction()

# ups_program(NAME SOURCES .. DEPS ..): executable in <build>/bin; installed into bin/, looks for libraries in ../lib first.
function(ups_program name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} ups_flags)
  ups_share_pch(${name} ${A_DEPS})
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# UPS_SOURCE_DIR and UPS_BINARY_DIR for the sources that use them, and no others: ccache then serves the rest to every clone.
function(ups_path_macros)
  foreach(source ${ARGN})
    cmake_path(ABSOLUTE_PATH source NORMALIZE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} uses REGEX "UPS_(SOURCE|BINARY)_DIR" LIMIT_COUNT 1)
    if(uses)
      set_source_files_properties(${source} PROPERTIES
        COMPILE_DEFINITIONS "UPS_SOURCE_DIR=\"${CMAKE_SOURCE_DIR}\";UPS_BINARY_DIR=\"${CMAKE_BINARY_DIR}/bin\"")
    endif()
  endforeach()
endfunction()

add_custom_target(ups_unit_tests)  # all that label unit needs: the asan preset builds no more
# ups_test(NAME SOURCES .. DEPS .. [LABELS unit] [TIMEOUT 600]): one Catch2 program = one CTest entry.
function(ups_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS;ARGS" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 600)
  endif()
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} ups_flags
    ups_test_main Catch2::Catch2)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
  ups_share_pch(${name} ${A_DEPS})
  ups_path_macros(${A_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(unit IN_LIST A_LABELS)
    add_dependencies(ups_unit_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "PYTHONPATH=${UPS_PYTHONPATH};OMP_NUM_THREADS=1;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
