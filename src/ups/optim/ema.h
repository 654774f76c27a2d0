// Exponential moving average of weights, under the same mask as the optimizer.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace ups::optim {

struct EmaOptions {
  double decay = 0.999;
  bool warmup = true;  // decay of update n (from 0): min(decay, (1+n)/(10+n)); false = the reference's constant decay
};

// Values are handles into a model: parameters are averaged, integer tensors and `buffers` are copied.
class Ema {
 public:
  using Named = std::vector<std::pair<std::string, at::Tensor>>;
  Ema(EmaOptions options, const Named& params, const Named& buffers = {});

  // ema <- d*ema + (1-d)*value. With found_inf = 1 nothing changes, not even the count.
  void update(const at::Tensor& found_inf = {});
  // Exchanges the averages with the model's values in place; a second call restores the model bit for bit.
  void swap();
  bool swapped() const { return swapped_; }
  // Averages by name (handles), and the number of updates made (0-dim fp64 handle). The averages are the shadow's even while swapped.
  Named state() const;
  const at::Tensor& count() const { return count_; }
  // Exit 4 when names or shapes differ.
  void load_state(const Named& values, double count, const std::string& what);
  // Restarts from the model's present values, count 0.
  void reset();

 private:
  EmaOptions options_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> live_, shadow_;
  std::vector<at::Tensor> float_live_, float_shadow_;  // real views of the averaged ones: floating point parameters
  std::vector<size_t> copied_;                         // the others
  at::Tensor count_;
  bool swapped_ = false;
};

// While it lives the model holds the averages: for validation and export.
class EmaScope {
 public:
  explicit EmaScope(Ema* ema) : ema_(ema) {
    if (ema_) ema_->swap();
  }
  ~EmaScope() {
    if (ema_) ema_->swap();
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema* ema_;
};

}  // namespace ups::optim
