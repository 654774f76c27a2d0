#include "ups/optim/routing.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <numeric>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::optim {
namespace {

int64_t effective_rank(const at::Tensor& t) {
  int64_t rank = 0;
  for (const int64_t size : t.sizes()) rank += size != 1;
  return rank;
}

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  for (const auto& p : patterns)
    if (glob_match(p, name)) return true;
  return false;
}

void require_match(const std::string& key, const std::string& pattern, const ParamList& params) {
  std::vector<std::string> names;
  for (const auto& p : params) {
    if (glob_match(pattern, p.name)) return;
    names.push_back(p.name);
  }
  const std::string near = nearest(pattern, names);
  throw usage_error("optimizer." + key, fmt::format("pattern '{}' matches none of the {} parameters", pattern, params.size()),
                    near.empty() ? "patterns match whole names; use * around a part" : fmt::format("did you mean '{}'?", near));
}

Route decide(const OptimizerOptions& o, const Param& p, size_t index, bool has_modes) {
  const at::Tensor& t = p.tensor;
  const int64_t rank = effective_rank(t);
  if (matches_any(o.include, p.name)) {
    if (rank < 2)
      throw usage_error("optimizer.include", fmt::format("'{}' has no two axes longer than 1", p.name), "Muon needs a matrix; exclude it");
    return {index, Family::muon, Reason::included, {}};
  }
  if (matches_any(o.exclude, p.name)) return {index, Family::adamw, Reason::excluded, {}};
  if (t.is_complex() && !has_modes) return {index, Family::adamw, Reason::complex_values, {}};
  if (t.dim() < 2) return {index, Family::adamw, Reason::low_rank, {}};
  if (o.include_all) return {index, Family::muon, Reason::matrix, {}};
  if (rank < 2) return {index, Family::adamw, Reason::effective_rank, {}};
  if (p.role != Role::hidden && p.role != Role::stack) return {index, Family::adamw, Reason::role, {}};
  return {index, Family::muon, Reason::matrix, {}};
}

void check_split(const std::string& pattern, const MuonSplit& split, const Param& p) {
  const int64_t rows = p.tensor.size(0);
  const auto fail = [&](const std::string& what) {
    throw usage_error("optimizer.muon_split", fmt::format("'{}' on {}: {}", pattern, p.name, what), "blocks must tile the rows exactly");
  };
  if (split.modes && p.tensor.dim() < 3) fail(fmt::format("modes needs three axes, found {}", p.tensor.dim()));
  if (split.heads && rows % *split.heads != 0) fail(fmt::format("{} rows do not divide into {} heads", rows, *split.heads));
  const int64_t sum = std::accumulate(split.rows.begin(), split.rows.end(), int64_t{0});
  if (!split.rows.empty() && sum != rows) fail(fmt::format("blocks add up to {} of {} rows", sum, rows));
  if (p.tensor.is_complex() && !split.modes) fail("complex tensors can only be split into modes");
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<size_t> claimed(const ParamList& params) {
  std::vector<size_t> out;
  std::set<const void*> seen;
  for (size_t i = 0; i < params.size(); ++i)
    if (params[i].tensor.requires_grad() && seen.insert(params[i].tensor.unsafeGetTensorImpl()).second) out.push_back(i);
  return out;
}

std::vector<Route> route(const OptimizerOptions& o, const ParamList& params) {
  for (const auto& p : o.include) require_match("include", p, params);
  for (const auto& p : o.exclude) require_match("exclude", p, params);
  for (const auto& [pattern, split] : o.muon_split) require_match("muon_split", pattern, params);
  std::vector<Route> routes;
  for (const size_t i : claimed(params)) {
    const Param& p = params[i];
    const std::string* used = nullptr;
    const MuonSplit* split = nullptr;
    for (const auto& entry : o.muon_split) {
      if (!glob_match(entry.first, p.name)) continue;
      if (split)
        throw usage_error("optimizer.muon_split", fmt::format("'{}' and '{}' both match {}", *used, entry.first, p.name),
                          "narrow one of the patterns");
      used = &entry.first;
      split = &entry.second;
    }
    Route r = decide(o, p, i, split && split->modes);
    if (r.family == Family::muon) {
      if (split) {
        check_split(*used, *split, p);
        r.split = *split;
      } else if (p.role == Role::stack && p.tensor.dim() >= 3) {
        r.split.emplace().modes = true;
      } else if (p.tensor.is_complex()) {
        throw usage_error("optimizer.include", fmt::format("'{}' is complex", p.name), "give it muon_split: {modes: true}");
      }
    }
    routes.push_back(std::move(r));
  }
  return routes;
}

}  // namespace ups::optim
