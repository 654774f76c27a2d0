// Every LibTorch version branch lives here. Supported: 2.11 to 2.14.
#pragma once
#include <torch/headeronly/version.h>

#if TORCH_VERSION_MAJOR != 2 || TORCH_VERSION_MINOR < 11
#error "ups-train needs LibTorch 2.11 or newer (2.x)"
#endif
