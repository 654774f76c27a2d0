// UPS_CLONES compiles a loop for the three x86 levels our users have; the loader picks one at start-up. Other compilers and
// sanitizer builds get the plain loop. Functions of the standard library are not inlined into clones (other flags): built-ins only, no
// std::max, std::bit_cast.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define UPS_CLONES __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3", "fast-math")))
#else
#define UPS_CLONES
#endif
