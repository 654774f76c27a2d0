// UPS_CLONES compiles a loop for the three x86 levels our users have; the loader picks one at start-up. Other compilers and
// sanitizer builds get the plain loop. Functions of the standard library are not inlined into clones (other flags): built-ins only, no
// std::max, std::bit_cast. UPS_CLONE_PART marks an own function that is inlined into clones.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define UPS_CLONES __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3", "fast-math")))
#define UPS_CLONE_PART __attribute__((always_inline, optimize("O3", "fast-math"))) inline
#else
#define UPS_CLONES
#define UPS_CLONE_PART inline
#endif
