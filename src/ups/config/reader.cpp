#include "ups/config/reader.h"

#include <algorithm>

#include "ups/config/emit.h"
#include "ups/config/errors.h"
#include "ups/config/number.h"
#include "ups/core/text.h"

namespace ups::config {

void Findings::error(const Place& place, std::string what, std::string hint) {
  errors_.push_back({place, std::move(what), std::move(hint)});
}
void Findings::notice(const Place& place, std::string text) { notices_.push_back({place, std::move(text), {}}); }

void Findings::raise(bool strict) const {
  std::vector<Item> all = errors_;
  if (strict) all.insert(all.end(), notices_.begin(), notices_.end());
  if (all.empty()) return;
  std::stable_sort(all.begin(), all.end(), [](const Item& a, const Item& b) { return a.place < b.place; });
  std::vector<Error> errors;
  for (const Item& item : all) {
    if (errors.size() == kMaxErrors) break;
    errors.push_back(usage_error(item.place.source ? item.place.text() : "", item.what, item.hint));
  }
  throw ConfigErrors(std::move(errors), all.size());
}

std::vector<std::string> Findings::notices() const {
  std::vector<Item> sorted = notices_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Item& a, const Item& b) { return a.place < b.place; });
  std::vector<std::string> out;
  for (const Item& item : sorted) {
    if (std::find(out.begin(), out.end(), item.what) == out.end()) out.push_back(item.what);
  }
  return out;
}

namespace detail {
namespace {

std::string shown(const Node& n) {
  if (n.is_scalar()) return "'" + clip_text(n.text, 60) + "'" + (n.quoted ? " (text)" : "");
  if (n.is_null()) return "null";
  if (n.is_list()) return "a list";
  return "a block";
}

std::string with_range(const std::string& noun, const FieldInfo& i) {
  if (i.min && i.max) {
    return noun + " in " + (i.open_min ? "(" : "[") + format_bound(*i.min) + ", " + format_bound(*i.max) +
           (i.open_max ? ")" : "]");
  }
  if (i.min) return noun + (i.open_min ? " > " : " >= ") + format_bound(*i.min);
  if (i.max) return noun + (i.open_max ? " < " : " <= ") + format_bound(*i.max);
  return noun;
}

bool in_range(double v, const FieldInfo& i) {
  if (i.min && (v < *i.min || (i.open_min && v == *i.min))) return false;
  return !(i.max && (v > *i.max || (i.open_max && v == *i.max)));
}

std::vector<std::string> texts(const std::vector<std::string_view>& views) { return {views.begin(), views.end()}; }

// The listed spelling of a choice, whatever the case; empty if it is none.
std::string match_choice(const std::string& text, const FieldInfo& i) {
  for (const auto c : i.choices) {
    if (c == text) return text;
  }
  for (const auto c : i.choices) {
    if (lower(c) == lower(text)) return std::string(c);
  }
  return {};
}

void not_a_choice(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& i) {
  const auto all = texts(i.choices);
  const std::string near = nearest(lower(n.text), all);
  const std::string list = "one of: " + join(all, ", ");
  c.findings.error(n.place, path + " cannot be " + shown(n), near.empty() ? list : "did you mean '" + near + "'? " + list);
}

}  // namespace

std::string child(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}

void expected(ReadContext& c, const Node& n, const std::string& path, const std::string& what, const std::string& hint) {
  const std::string null_hint = n.is_null() && hint.empty() ? "remove the line to get the default" : hint;
  c.findings.error(n.place, path + " must be " + what + ", found " + shown(n), null_hint);
}

bool read_bool(ReadContext& c, const Node& n, const std::string& path, const FieldInfo&, bool& out) {
  if (n.is_scalar() && !n.quoted && (n.text == "true" || n.text == "false")) {
    out = n.text == "true";
    return true;
  }
  std::string hint;
  if (n.is_scalar()) {
    const std::string low = lower(n.text);
    if (low == "true" || low == "yes" || low == "on" || low == "y" || low == "1") hint = "write true";
    if (low == "false" || low == "no" || low == "off" || low == "n" || low == "0") hint = "write false";
  }
  expected(c, n, path, "true or false", hint);
  return false;
}

bool read_integer(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, int64_t& out) {
  const std::string what = with_range("an integer", info);
  if (!n.is_scalar() || n.quoted) {
    expected(c, n, path, what, n.is_scalar() && parse_integer(n.text).ok ? "remove the quotes" : "");
    return false;
  }
  const IntResult r = parse_integer(n.text);
  if (!r.ok || !in_range(static_cast<double>(r.value), info)) {
    expected(c, n, path, what, r.hint);
    return false;
  }
  out = r.value;
  return true;
}

bool read_real(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, double& out) {
  const std::string what = with_range("a number", info);
  if (!n.is_scalar() || n.quoted) {
    expected(c, n, path, what, n.is_scalar() && parse_real(n.text).ok ? "remove the quotes" : "");
    return false;
  }
  const RealResult r = parse_real(n.text);
  if (!r.ok || !in_range(r.value, info)) {
    expected(c, n, path, what, r.hint);
    return false;
  }
  out = r.value;
  return true;
}

bool read_text(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, std::string& out) {
  if (!n.is_scalar()) {
    expected(c, n, path, info.choices.empty() ? "a text" : "one of: " + join(texts(info.choices), ", "));
    return false;
  }
  if (info.choices.empty()) {
    out = n.text;
    return true;
  }
  const std::string choice = match_choice(n.text, info);
  if (choice.empty()) {
    not_a_choice(c, n, path, info);
    return false;
  }
  out = choice;
  return true;
}

bool read_real_or_text(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info,
                       std::variant<double, std::string>& out) {
  if (n.is_scalar()) {
    const std::string choice = match_choice(n.text, info);
    if (!choice.empty()) {
      out = choice;
      return true;
    }
  }
  FieldInfo numeric = info;
  const std::string what = with_range("a number", info) + " or " + join(texts(info.choices), " or ");
  const RealResult r = n.is_scalar() && !n.quoted ? parse_real(n.text) : RealResult{};
  if (!r.ok || !in_range(r.value, numeric)) {
    expected(c, n, path, what, r.hint);
    return false;
  }
  out = r.value;
  return true;
}

// Free-form text is kept as written: ${env:NAME} stays unreplaced there.
void read_free_form(const Node& n, std::string& out) {
  Node kept = n;
  const std::function<void(Node&)> restore = [&](Node& node) {
    if (!node.redacted.empty()) node.text = node.redacted;
    for (Node& item : node.items) restore(item);
    for (Entry& e : node.entries) restore(e.value);
  };
  restore(kept);
  out = kept.is_null() ? std::string() : to_json(kept);
}

void report_unknown(ReadContext& c, const Node& map, const std::string& path, const std::set<std::string, std::less<>>& known) {
  for (const Entry& e : map.entries) {
    if (known.count(e.key) > 0) continue;
    std::string full = child(path, e.key);
    // An override names a whole path: repeat it as it was typed.
    if (e.place.source && !e.place.source->is_file) {
      for (const Node* n = &e.value; n->is_map() && n->entries.size() == 1; n = &n->entries[0].value)
        full += "." + n->entries[0].key;
    }
    const std::string near = c.schema.suggest(full);
    c.findings.error(e.place, "unknown key '" + clip_text(full, 120) + "'",
                     near.empty() ? "ups-train schema lists all keys" : "did you mean '" + near + "'?");
  }
}

bool report_status(ReadContext& c, const Entry& e, const std::string& path, const FieldInfo& info) {
  if (info.status == KeyStatus::refused) {
    c.findings.error(e.place, "'" + path + "' is not supported", std::string(info.advice));
    return false;
  }
  if (info.status == KeyStatus::no_effect) {
    c.findings.notice(e.place, "ignored: " + path + (info.advice.empty() ? "" : " (" + std::string(info.advice) + ")"));
  }
  return true;
}

}  // namespace detail
}  // namespace ups::config
