#include "ups/core/fft.h"

#include <cassert>
#include <kissfft/kissfft.hh>
#include <vector>

namespace ups {

struct Fft::Impl {
  explicit Impl(size_t n) : forward(n, false), inverse(n, true), a(n), b(n) {}
  kissfft<double> forward, inverse;
  std::vector<std::complex<double>> a, b;
};

Fft::Fft(size_t n) : n_(n), impl_(std::make_unique<Impl>(n)) { assert(n >= 1); }
Fft::~Fft() = default;
Fft::Fft(Fft&&) noexcept = default;
Fft& Fft::operator=(Fft&&) noexcept = default;

void Fft::forward(std::span<const std::complex<double>> in, std::span<std::complex<double>> out) {
  assert(in.size() == n_ && out.size() == n_);
  impl_->forward.transform(in.data(), out.data());
}

void Fft::inverse(std::span<const std::complex<double>> in, std::span<std::complex<double>> out) {
  assert(in.size() == n_ && out.size() == n_);
  impl_->inverse.transform(in.data(), out.data());
}

void Fft::rfft(std::span<const double> in, std::span<std::complex<double>> out) {
  assert(in.size() == n_ && out.size() == n_ / 2 + 1);
  for (size_t i = 0; i < n_; ++i) impl_->a[i] = in[i];
  impl_->forward.transform(impl_->a.data(), impl_->b.data());
  for (size_t k = 0; k <= n_ / 2; ++k) out[k] = impl_->b[k];
}

void Fft::irfft(std::span<const std::complex<double>> in, std::span<double> out) {
  assert(in.size() == n_ / 2 + 1 && out.size() == n_);
  auto& a = impl_->a;
  for (size_t k = 0; k <= n_ / 2; ++k) a[k] = in[k];
  for (size_t k = 1; k < (n_ + 1) / 2; ++k) a[n_ - k] = std::conj(in[k]);
  impl_->inverse.transform(a.data(), impl_->b.data());
  for (size_t i = 0; i < n_; ++i) out[i] = impl_->b[i].real() / static_cast<double>(n_);
}

}  // namespace ups
