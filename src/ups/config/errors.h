// Several configuration mistakes at once, sorted by place, as one exception with exit code 2.
#pragma once
#include <string>
#include <vector>

#include "ups/core/error.h"

namespace ups::config {

inline constexpr size_t kMaxErrors = 20;  // listed per run

// Printed one line each by run_main. what() is the first line.
class ConfigErrors : public Error {
 public:
  // errors must not be empty; total counts also those beyond kMaxErrors.
  ConfigErrors(std::vector<Error> errors, size_t total);
  const std::vector<Error>& errors() const { return errors_; }
  size_t total() const { return total_; }

 private:
  std::vector<Error> errors_;
  size_t total_;
};

}  // namespace ups::config
