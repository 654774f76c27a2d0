// The `operator.fno` and `operator.unet` blocks: sizes of the networks that our own operator is measured against.
#pragma once
#include <cstdint>
#include <optional>

#include "ups/core/fields.h"

namespace ups::models {

struct FnoOptions {
  int64_t width = 24, modes = 48, layers = 4, head = 128;
  std::optional<bool> grid_channel;
  std::optional<int64_t> padding;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("width", s.width, {.doc = "channels of the Fourier layers", .min = 1, .max = 4096});
    v("modes", s.modes, {.doc = "Fourier modes per axis, at most half the cells", .min = 1, .max = 4096});
    v("layers", s.layers, {.doc = "Fourier layers", .min = 1, .max = 64});
    v("head", s.head, {.doc = "width between the two last linear maps", .min = 1, .max = 16384});
    v("grid_channel", s.grid_channel, {.doc = "cell coordinates as input channels; default where an axis is not periodic"});
    v("padding", s.padding, {.doc = "zero cells behind each axis; default 2 where it is not periodic, else 0", .min = 0, .max = 1024});
  }
};

struct UnetOptions {
  int64_t features = 16, levels = 4, max_features = 64;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("features", s.features, {.doc = "channels of the finest level; each coarser level doubles them", .min = 1, .max = 1024});
    v("max_features", s.max_features, {.doc = "largest number of channels", .min = 1, .max = 4096});
    v("levels", s.levels, {.doc = "levels, each half as fine as the one above it", .min = 1, .max = 12});
  }
};

}  // namespace ups::models
