#include "ups/config/emit.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

#include "ups/config/number.h"
#include "ups/core/text.h"

namespace ups::config {
namespace {

std::string json_string(std::string_view s) {
  std::string out = "\"";
  for (const char c : s) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (u < 0x20 || u == 0x7F) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\u%04X", static_cast<unsigned>(u));
      out += hex;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// Would a YAML reader (ours or another) take this plain text for something else than text?
bool looks_special(const std::string& s) {
  const std::string low = lower(s);
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", ".inf", "-.inf", "+.inf", ".nan"}) {
    if (low == word) return true;
  }
  const char c = s[0];
  return (std::isdigit(static_cast<unsigned char>(c)) != 0) ||
         ((c == '+' || c == '-' || c == '.') && s.size() > 1 &&
          (std::isdigit(static_cast<unsigned char>(s[1])) != 0 || s[1] == '.'));
}

bool is_plain_safe(const std::string& s) {
  if (s.empty() || looks_special(s)) return false;
  const auto ok = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == '+' ||
           c == ' ' || c == '(' || c == ')';
  };
  if (!std::all_of(s.begin(), s.end(), ok) || s.front() == ' ' || s.back() == ' ') return false;
  return s.front() != '-' && s.front() != '.' ? true : starts_with(s, "./") || starts_with(s, "../");
}

std::string scalar(const Node& n) { return n.quoted ? yaml_string(n.text) : n.text; }

void block(const Node& node, int indent, std::string& out) {
  for (const Entry& e : node.entries) {
    out.append(static_cast<size_t>(indent), ' ');
    out += yaml_string(e.key) + ":";
    if (e.value.is_map() && !e.value.entries.empty()) {
      out += "\n";
      block(e.value, indent + 2, out);
    } else {
      out += " " + to_flow(e.value) + "\n";
    }
  }
}

void json(const Node& n, bool sorted, std::string& out) {
  switch (n.kind) {
    case Node::Kind::null: out += "null"; return;
    case Node::Kind::scalar: {
      if (n.quoted) {
        out += json_string(n.text);
      } else if (n.text == "true" || n.text == "false") {
        out += n.text;
      } else if (const auto i = parse_integer(n.text); i.ok) {
        out += std::to_string(i.value);
      } else if (const auto r = parse_real(n.text); r.ok) {
        out += format_real(r.value);
      } else {
        out += json_string(n.text);
      }
      return;
    }
    case Node::Kind::list:
      out += "[";
      for (size_t i = 0; i < n.items.size(); ++i) {
        if (i > 0) out += sorted ? "," : ", ";
        json(n.items[i], sorted, out);
      }
      out += "]";
      return;
    case Node::Kind::map: {
      std::vector<const Entry*> entries;
      for (const Entry& e : n.entries) entries.push_back(&e);
      if (sorted) std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) { return a->key < b->key; });
      out += "{";
      for (size_t i = 0; i < entries.size(); ++i) {
        if (i > 0) out += sorted ? "," : ", ";
        out += json_string(entries[i]->key) + (sorted ? ":" : ": ");
        json(entries[i]->value, sorted, out);
      }
      out += "}";
      return;
    }
  }
}

}  // namespace

std::string yaml_string(const std::string& text) { return is_plain_safe(text) ? text : json_string(text); }

std::string to_flow(const Node& n) {
  switch (n.kind) {
    case Node::Kind::null: return "null";
    case Node::Kind::scalar: return scalar(n);
    case Node::Kind::list: {
      std::string out = "[";
      for (size_t i = 0; i < n.items.size(); ++i) out += (i > 0 ? ", " : "") + to_flow(n.items[i]);
      return out + "]";
    }
    case Node::Kind::map: {
      std::string out = "{";
      for (size_t i = 0; i < n.entries.size(); ++i)
        out += (i > 0 ? ", " : "") + yaml_string(n.entries[i].key) + ": " + to_flow(n.entries[i].value);
      return out + "}";
    }
  }
  return {};
}

std::string to_yaml(const Node& root) {
  if (root.entries.empty()) return "{}\n";
  std::string out;
  block(root, 0, out);
  return out;
}

std::string to_json(const Node& root, bool sorted) {
  std::string out;
  json(root, sorted, out);
  return out;
}

}  // namespace ups::config
