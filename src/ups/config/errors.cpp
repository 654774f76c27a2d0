#include "ups/config/errors.h"

#include <cassert>

namespace ups::config {
namespace {
const Error& first(const std::vector<Error>& errors) {
  assert(!errors.empty());
  return errors.front();
}
}  // namespace

ConfigErrors::ConfigErrors(std::vector<Error> errors, size_t total)
    : Error(first(errors).code(), first(errors).place(), first(errors).message(), first(errors).hint()),
      errors_(std::move(errors)),
      total_(total) {}

}  // namespace ups::config
