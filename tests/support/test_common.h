// Include after the torch headers of a test: torch defines CHECK and LOG, and its CHECK would win without a warning and abort.
#pragma once
#if __has_include(<c10/util/Logging.h>) && defined(UPS_TEST_WITH_TORCH)
#include <c10/util/Logging.h>
#endif
#undef CHECK
#include <catch2/catch.hpp>
