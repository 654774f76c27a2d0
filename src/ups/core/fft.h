// Complex and real FFTs of any length in double precision, by kissfft's header-only template.
#pragma once
#include <complex>
#include <cstddef>
#include <memory>
#include <span>

namespace ups {

// Unnormalised transforms of length n; forward has exp(-i 2 pi jk/n). Not thread-safe: one object per thread.
class Fft {
 public:
  explicit Fft(size_t n);
  ~Fft();
  Fft(Fft&&) noexcept;
  Fft& operator=(Fft&&) noexcept;
  size_t size() const { return n_; }
  // in and out hold n values and may not overlap.
  void forward(std::span<const std::complex<double>> in, std::span<std::complex<double>> out);
  void inverse(std::span<const std::complex<double>> in, std::span<std::complex<double>> out);  // without 1/n
  // Real input of n (even or odd) values, n/2+1 coefficients.
  void rfft(std::span<const double> in, std::span<std::complex<double>> out);
  void irfft(std::span<const std::complex<double>> in, std::span<double> out);  // with 1/n: irfft(rfft(x)) = x

 private:
  struct Impl;
  size_t n_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ups
