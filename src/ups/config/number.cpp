#include "ups/config/number.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "ups/core/text.h"

namespace ups::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t skip_digits(std::string_view s, size_t i) {
  while (i < s.size() && is_digit(s[i])) ++i;
  return i;
}

bool is_integer_form(std::string_view s) {
  size_t i = !s.empty() && (s[0] == '+' || s[0] == '-') ? 1 : 0;
  const size_t start = i;
  i = skip_digits(s, i);
  return i == s.size() && i > start && (s[start] != '0' || i == start + 1);
}

bool is_real_form(std::string_view s) {
  size_t i = !s.empty() && (s[0] == '+' || s[0] == '-') ? 1 : 0;
  const size_t whole = i;
  i = skip_digits(s, i);
  size_t digits = i - whole;
  if (digits > 1 && s[whole] == '0') return false;
  bool point_or_exponent = false;
  if (i < s.size() && s[i] == '.') {
    point_or_exponent = true;
    const size_t f = ++i;
    i = skip_digits(s, i);
    digits += i - f;
  }
  if (digits == 0) return false;
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    point_or_exponent = true;
    ++i;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
    const size_t e = i;
    i = skip_digits(s, i);
    if (i == e) return false;
  }
  return point_or_exponent && i == s.size();
}

double to_double(std::string_view s) {
  if (!s.empty() && s[0] == '+') s.remove_prefix(1);
  double v = 0;
  const auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  if (r.ec == std::errc::result_out_of_range) return s.find("e-") != std::string_view::npos ? 0.0 : HUGE_VAL;
  return v;
}

std::string in_seconds(std::string_view s) {  // 1:30 is 90 in YAML 1.1
  int64_t total = 0;
  for (const auto& part : split(s, ':')) {
    if (part.empty() || part.size() > 6 || skip_digits(part, 0) != part.size()) return {};
    total = total * 60 + std::stoll(part);
  }
  return "write " + std::to_string(total);
}

// What the writer of a rejected number probably meant.
std::string meant(std::string_view s) {
  const std::string low = lower(s);
  if (low == ".inf" || low == "-.inf" || low == "+.inf" || low == ".nan" || low == "inf" || low == "nan" || low == "-inf")
    return "only finite numbers are allowed";
  if (s.find(':') != std::string_view::npos) return in_seconds(s);
  if (s.find('_') != std::string_view::npos) {
    std::string plain;
    for (char c : s) {
      if (c != '_') plain += c;
    }
    return is_integer_form(plain) || is_real_form(plain) ? "write " + plain : "";
  }
  size_t i = !s.empty() && (s[0] == '+' || s[0] == '-') ? 1 : 0;
  const std::string sign = i == 1 && s[0] == '-' ? "-" : "";
  const std::string_view body = s.substr(i);
  if (body.size() > 2 && body[0] == '0' && (body[1] == 'x' || body[1] == 'X')) {
    uint64_t v = 0;
    const auto r = std::from_chars(body.data() + 2, body.data() + body.size(), v, 16);
    if (r.ec == std::errc() && r.ptr == body.data() + body.size()) return "write " + sign + std::to_string(v);
    return {};
  }
  if (body.size() > 1 && body[0] == '0' && is_digit(body[1])) {
    size_t z = 0;
    while (z + 1 < body.size() && body[z] == '0' && is_digit(body[z + 1])) ++z;
    const std::string plain(body.substr(z));
    if (is_integer_form(plain) || is_real_form(plain)) return "write " + sign + plain + " (no leading zeros)";
  }
  return {};
}

}  // namespace

IntResult parse_integer(std::string_view text) {
  IntResult out;
  if (is_integer_form(text)) {
    std::string_view body = text;
    if (body[0] == '+') body.remove_prefix(1);
    const auto r = std::from_chars(body.data(), body.data() + body.size(), out.value);
    if (r.ec == std::errc()) {
      out.ok = true;
      return out;
    }
    out.hint = "too large";
    return out;
  }
  if (is_real_form(text)) {
    const double v = to_double(text);
    if (std::isfinite(v) && v == std::floor(v) && std::abs(v) < 9e15)
      out.hint = "write " + std::to_string(static_cast<int64_t>(v));
    return out;
  }
  out.hint = meant(text);
  return out;
}

RealResult parse_real(std::string_view text) {
  RealResult out;
  if (is_integer_form(text) || is_real_form(text)) {
    out.value = to_double(text);
    out.ok = std::isfinite(out.value);
    if (!out.ok) out.hint = "too large";
    return out;
  }
  out.hint = meant(text);
  return out;
}

std::string format_real(double value) {
  char buffer[64];
  const auto r = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, r.ptr};
}

std::string format_bound(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e9;
  return whole ? std::to_string(static_cast<int64_t>(value)) : format_real(value);
}

}  // namespace ups::config
