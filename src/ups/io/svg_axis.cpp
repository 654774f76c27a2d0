#include "ups/io/svg_axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace ups::io::detail {

std::string number_label(double v) {
  char text[32];
  if (v != 0 && (std::abs(v) < 1e-3 || std::abs(v) >= 1e5)) {
    std::snprintf(text, sizeof text, "%.3g", v);
    std::string s = text;
    // 1e-04 -> 1e-4
    if (const size_t e = s.find('e'); e != std::string::npos) {
      size_t k = e + 1;
      if (s[k] == '+')
        s.erase(k, 1);
      else
        ++k;
      while (k + 1 < s.size() && s[k] == '0') s.erase(k, 1);
    }
    return s;
  }
  std::snprintf(text, sizeof text, "%.4g", v == 0 ? 0.0 : v);
  return text;
}

std::string fixed(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f", std::isfinite(v) ? v : 0.0);
  return text;
}

double Scale::operator()(double v) const {
  const double u = log ? std::log10(v) : v;
  return begin + (u - low) / (high - low) * (end - begin);
}

bool Scale::shows(double v) const { return std::isfinite(v) && (!log || v > 0); }

std::vector<Tick> Scale::ticks(int wanted) const {
  std::vector<Tick> out;
  if (log) {
    const double span = high - low;
    const int first = static_cast<int>(std::floor(low)), last = static_cast<int>(std::ceil(high));
    const int step = std::max(1, static_cast<int>(std::ceil(span / wanted)));
    for (int k = first; k <= last; ++k) {
      for (int m = 1; m <= 9; ++m) {
        const double u = k + std::log10(m);
        if (u < low - 1e-9 || u > high + 1e-9) continue;
        const double v = m * std::pow(10.0, k);
        const bool decade = m == 1 && (k % step + step) % step == 0;
        const bool labelled = decade || (span < 1.2 && (m == 2 || m == 5)) || (span < 0.4 && m != 1);
        if (labelled || (step == 1 && span < 6)) out.push_back({v, labelled ? number_label(v) : ""});
      }
    }
    return out;
  }
  const double raw = (high - low) / wanted;
  const double base = std::pow(10.0, std::floor(std::log10(raw)));
  const double factor = raw / base;
  const double step = base * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
  for (double v = std::ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step && out.size() < 100; v += step) {
    if (std::abs(v) < 1e-9 * step) v = 0;
    out.push_back({v, number_label(v)});
  }
  return out;
}

Scale make_scale(const Axis& axis, const std::vector<const std::vector<double>*>& values, double begin, double end) {
  Scale s;
  s.log = axis.log;
  s.begin = begin;
  s.end = end;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto* list : values) {
    for (const double v : *list) {
      if (!s.shows(v)) continue;
      low = std::min(low, v);
      high = std::max(high, v);
    }
  }
  const bool empty = !(low <= high);
  if (empty) {
    low = axis.log ? 0.1 : 0;
    high = 1;
  }
  const bool fix_low = axis.min && s.shows(*axis.min), fix_high = axis.max && s.shows(*axis.max);
  if (fix_low) low = *axis.min;
  if (fix_high) high = *axis.max;
  if (s.log) {
    low = std::log10(low);
    high = std::log10(high);
  }
  if (!(high > low)) {  // one value, or limits that exclude the data
    const double pad = s.log ? 0.5 : std::max(1e-12, 0.1 * std::abs(low));
    high = low + pad;
    low -= pad;
  } else {
    // Halved first: the range of two huge values of different sign would overflow.
    const double margin = (high / 2 - low / 2) * 0.08;
    if (!fix_low) low -= margin;
    if (!fix_high) high += margin;
  }
  s.low = low;
  s.high = high;
  return s;
}

}  // namespace ups::io::detail
