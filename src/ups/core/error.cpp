#include "ups/core/error.h"

#include "ups/core/text.h"

namespace ups {
namespace {
std::string compose(const std::string& place, const std::string& what, const std::string& hint) {
  std::string s = place.empty() ? what : place + ": " + what;
  if (!hint.empty()) s += "; " + hint;
  return s;
}
}  // namespace

Error::Error(ExitCode code, std::string place, std::string what, std::string hint)
    : std::runtime_error(compose(place, what, hint)),
      code_(code),
      place_(std::move(place)),
      message_(std::move(what)),
      hint_(std::move(hint)) {}

std::string Error::line() const { return clip_text(escape_text(what()), 360); }

}  // namespace ups
