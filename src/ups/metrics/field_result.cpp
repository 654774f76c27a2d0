#include <cmath>
#include <limits>

#include "ups/metrics/field_scores.h"

namespace ups::metrics {
namespace {

// Means must not skip the NaN of a diverged model, only entries where the metric has no value for any model.
class DefinedMean {
 public:
  void add(double value, bool defined) {
    if (!defined) return;
    sum_ += value;
    ++count_;
  }
  double value() const { return count_ > 0 ? sum_ / count_ : std::numeric_limits<double>::quiet_NaN(); }

 private:
  double sum_ = 0, count_ = 0;
};

bool defined(const FieldResult& r, Metric m, size_t slot) {
  if (m == Metric::nrmse) return r.live[slot] > 0;
  return !std::isnan(r.per_frame(m)[slot]) || r.diverged > 0;
}

}  // namespace

double FieldResult::mean(Metric m) const {
  DefinedMean mean;
  for (size_t i = 0; i < live.size(); ++i) mean.add(per_frame(m)[i], defined(*this, m, i));
  return mean.value();
}

double FieldResult::mean(Metric m, std::span<const int64_t> channels_only) const {
  DefinedMean mean;
  for (int64_t c : channels_only) {
    for (int64_t t = 0; t < frames; ++t) {
      const auto i = static_cast<size_t>(t * channels + c);
      mean.add(per_frame(m)[i], defined(*this, m, i));
    }
  }
  return mean.value();
}

double FieldResult::frame_mean(Metric m, int64_t frame) const {
  DefinedMean mean;
  for (int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<size_t>(frame * channels + c);
    mean.add(per_frame(m)[i], defined(*this, m, i));
  }
  return mean.value();
}

double FieldResult::channel_mean(Metric m, int64_t channel) const {
  const int64_t only[] = {channel};
  return mean(m, only);
}

int64_t FieldResult::dead() const {
  int64_t n = 0;
  for (int64_t l : live) n += samples - l;
  return n;
}

}  // namespace ups::metrics
