// Routing as text: one line for logs, a table for those who want to know about every parameter.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

#include "ups/core/text.h"
#include "ups/optim/routing.h"

namespace ups::optim {
namespace {

std::string grouped(int64_t n) {
  std::string s = std::to_string(n);
  for (int64_t i = static_cast<int64_t>(s.size()) - 3; i > 0; i -= 3) s.insert(static_cast<size_t>(i), ",");
  return s;
}

double percent(int64_t part, int64_t whole) { return 100.0 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, whole)); }

const char* text(Reason r) {
  switch (r) {
    case Reason::included: return "included";
    case Reason::excluded: return "excluded";
    case Reason::low_rank: return "rank < 2";
    case Reason::effective_rank: return "effective rank";
    case Reason::role: return "role";
    case Reason::complex_values: return "complex";
    case Reason::matrix: return "matrix";
  }
  std::abort();
}

const char* text(Role r) {
  constexpr std::array names{"hidden", "input", "output", "embedding", "depthwise", "stack"};
  return names[static_cast<size_t>(r)];
}

// Layer numbers become *: "layers.3.weight" -> "layers.*.weight".
std::string pattern_of(const std::string& name) {
  std::vector<std::string> parts = split(name, '.');
  for (auto& p : parts)
    if (!p.empty() && std::all_of(p.begin(), p.end(), [](unsigned char c) { return std::isdigit(c); })) p = "*";
  return join(parts, ".");
}

std::string why(const Route& r, const Param& p) {
  if (r.reason == Reason::role) return fmt::format("role {}", text(p.role));
  std::string out = text(r.reason);
  if (!r.split) return out;
  if (r.split->modes) return out + ", one per mode";
  return r.split->heads ? out + fmt::format(", {} heads", *r.split->heads) : out + fmt::format(", rows {}", fmt::join(r.split->rows, "+"));
}

struct Row {
  std::string family, reason, shape, pattern;
  int64_t tensors = 0, numbers = 0;
};

std::string render(const std::vector<Row>& rows) {
  int64_t whole = 0;
  size_t reason = 0, shape = 0;
  for (const auto& r : rows) {
    whole += r.numbers;
    reason = std::max(reason, r.reason.size());
    shape = std::max(shape, r.shape.size());
  }
  std::vector<std::string> lines;
  for (const auto& r : rows)
    lines.push_back(fmt::format("{:<6} {:<{}}  {:>4} x {:<{}} {:>11} {:>5.1f} %  {}", r.family, r.reason, reason, r.tensors, r.shape, shape,
                                grouped(r.numbers), percent(r.numbers, whole), r.pattern));
  return join(lines, "\n");
}

}  // namespace

std::string routing_summary(const std::vector<Route>& routes, const ParamList& params) {
  int64_t tensors[2] = {}, numbers[2] = {};
  std::vector<std::pair<Reason, int64_t>> reasons;
  for (const auto& r : routes) {
    const auto f = static_cast<size_t>(r.family);
    ++tensors[f];
    numbers[f] += params[r.param].tensor.numel();
    if (r.family != Family::adamw) continue;
    auto known = std::find_if(reasons.begin(), reasons.end(), [&](const auto& e) { return e.first == r.reason; });
    if (known == reasons.end()) known = reasons.insert(known, {r.reason, 0});
    ++known->second;
  }
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(fmt::format("{} {}", count, text(reason)));
  return fmt::format("Muon {} tensors {} ({:.1f} %) | AdamW {} tensors {}{}{}", tensors[0], grouped(numbers[0]),
                     percent(numbers[0], numbers[0] + numbers[1]), tensors[1], grouped(numbers[1]), parts.empty() ? "" : ": ",
                     join(parts, ", "));
}

std::string routing_table(const OptimizerOptions& options, const ParamList& params) {
  const std::string only = options.name == "sgd" ? "SGD" : options.name == "adam" ? "Adam" : "AdamW";
  const std::string none = "-";
  std::vector<std::pair<std::string, std::string>> fate(params.size(), {none, ""});  // family, reason
  if (options.is_hybrid()) {
    for (const auto& r : route(options, params)) fate[r.param] = {r.family == Family::muon ? "Muon" : "AdamW", why(r, params[r.param])};
  } else {
    for (const size_t i : claimed(params)) fate[i] = {only, "all"};
  }
  std::vector<Row> rows;
  for (const auto& family : {std::string("Muon"), only, none}) {
    for (size_t i = 0; i < params.size(); ++i) {
      if (fate[i].first != family) continue;
      const at::Tensor& t = params[i].tensor;
      const std::string reason = family != none ? fate[i].second : t.requires_grad() ? "shared, counted once" : "frozen";
      Row row{family, reason, fmt::format("[{}]", fmt::join(t.sizes(), ", ")), pattern_of(params[i].name), 0, 0};
      auto known = std::find_if(rows.begin(), rows.end(), [&](const Row& r) {
        return r.family == row.family && r.reason == row.reason && r.shape == row.shape && r.pattern == row.pattern;
      });
      if (known == rows.end()) known = rows.insert(known, std::move(row));
      ++known->tensors;
      if (family != none) known->numbers += t.numel();
    }
  }
  return render(rows);
}

}  // namespace ups::optim
