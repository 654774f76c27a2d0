// Scope of automatic mixed precision. LibTorch has no guard of its own in C++.
#pragma once
#include <ATen/autocast_mode.h>

namespace ups::models {

class AutocastGuard {
 public:
  AutocastGuard(at::DeviceType device, bool on, at::ScalarType dtype)
      : device_(device), was_on_(at::autocast::is_autocast_enabled(device)), was_dtype_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::increment_nesting();
    at::autocast::set_autocast_dtype(device, dtype);
    at::autocast::set_autocast_enabled(device, on);
  }
  ~AutocastGuard() {
    at::autocast::set_autocast_enabled(device_, was_on_);
    at::autocast::set_autocast_dtype(device_, was_dtype_);
    // The cache maps parameters to low-precision copies: kept, the next step would train on stale weights.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  }
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  at::DeviceType device_;
  bool was_on_;
  at::ScalarType was_dtype_;
};

}  // namespace ups::models
