// Ticks and scales of charts. Private to io/svg*.
#pragma once
#include <string>
#include <vector>

#include "ups/io/svg.h"

namespace ups::io::detail {

struct Tick {
  double value;
  std::string label;  // empty = minor
};

// Maps values of one axis to pixels.
struct Scale {
  bool log = false;
  double low = 0, high = 1;   // data range, in log10 when log
  double begin = 0, end = 1;  // pixels
  double operator()(double v) const;
  bool shows(double v) const;  // finite, and positive on log axes
  std::vector<Tick> ticks(int wanted) const;
};

// The range of `values` (all series) with a margin; sensible for none and for equal values.
Scale make_scale(const Axis& axis, const std::vector<const std::vector<double>*>& values, double begin, double end);

std::string number_label(double v);
std::string fixed(double v);  // coordinate with one decimal

}  // namespace ups::io::detail
