#include "ups/config/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <cstdio>
#include <sstream>
#include <string>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::config {
namespace {

bool is_control(char ch) {
  const auto c = static_cast<unsigned char>(ch);
  return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7F;
}

// Builds our tree from yaml-cpp's events; yaml-cpp's own Node (shared, aliasing, hanging in LoadAll) is never used.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, std::shared_ptr<const Source> source, const YamlLimits& limits)
      : text_(text), source_(std::move(source)), limits_(limits) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") text_.remove_prefix(3);
    line_starts_.push_back(0);
    for (size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '\n') line_starts_.push_back(i + 1);
    }
  }
  Node take() { return std::move(root_); }
  bool seen_document() const { return documents_ > 0; }

  void OnDocumentStart(const YAML::Mark& m) override {
    if (++documents_ > 1)
      fail(m, "a second document", "a configuration is one YAML document: remove '---' or move it to another file");
  }
  void OnDocumentEnd() override {}
  void OnAlias(const YAML::Mark& m, YAML::anchor_t) override {
    fail(m, "aliases (*name) are not supported", "repeat the value or use include:");
  }
  void OnNull(const YAML::Mark& m, YAML::anchor_t anchor) override {
    check(m, "", anchor);
    add(m, Node::null());
  }
  void OnScalar(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    check(m, tag, anchor);
    if (value.size() > limits_.scalar_bytes)
      fail(m, "a text of " + std::to_string(value.size()) + " bytes", "the limit is 64 KiB");
    for (const char c : value) {
      if (is_control(c)) fail(m, "a control character in a text", "remove the escape sequence");
    }
    if (tag == "!") check_quotes(m);
    add(m, tag == "!" ? Node::string(value) : Node::plain(value));
  }
  void OnSequenceStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(m, tag, anchor);
    open(m, Node::list());
  }
  void OnMapStart(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(m, tag, anchor);
    open(m, Node::map());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  [[noreturn]] void fail(const YAML::Mark& m, const std::string& what, const std::string& hint = {}) const {
    throw usage_error(place(m).text(), what, hint);
  }

 private:
  struct Level {
    Node node;
    bool has_key = false;
    std::string key;
    Place key_place;
  };

  Place place(const YAML::Mark& m) const { return {source_, m.line + 1, m.column + 1}; }

  void check(const YAML::Mark& m, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) fail(m, "anchors (&name) are not supported", "repeat the value or use include:");
    if (!tag.empty() && tag != "?" && tag != "!")
      fail(m, "tags are not supported, found '" + tag + "'", "remove it; quote the value if it is text");
    if (++nodes_ > limits_.nodes) fail(m, "more than " + std::to_string(limits_.nodes) + " values");
  }

  // yaml-cpp 0.7 takes the end of the file for the closing quote.
  void check_quotes(const YAML::Mark& m) const {
    const auto line = static_cast<size_t>(m.line);
    if (line >= line_starts_.size()) return;
    size_t at = line_starts_[line] + static_cast<size_t>(m.column);
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return;  // a block scalar
    const char quote = text_[at];
    for (++at; at < text_.size() && text_[at] != quote; ++at) {
      if (quote == '"' && text_[at] == '\\') ++at;
    }
    if (at >= text_.size()) fail(m, "a quoted text without its closing quote");
  }

  bool expects_key() const { return !stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_key; }

  void open(const YAML::Mark& m, Node node) {
    if (expects_key()) fail(m, "a list or map cannot be a key");
    if (static_cast<int>(stack_.size()) >= limits_.depth)
      fail(m, "nested too deep", "the limit is " + std::to_string(limits_.depth) + " levels");
    node.place = place(m);
    Level level;
    level.node = std::move(node);
    stack_.push_back(std::move(level));
  }

  void close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    attach(std::move(node));
  }

  void add(const YAML::Mark& m, Node node) {
    node.place = place(m);
    if (expects_key()) {
      take_key(m, node);
    } else {
      attach(std::move(node));
    }
  }

  void take_key(const YAML::Mark& m, const Node& node) {
    Level& level = stack_.back();
    if (node.is_null()) fail(m, "an empty key");
    if (node.text == "<<" && !node.quoted) fail(m, "merge keys are not supported", "use include:");
    if (const Entry* old = level.node.find(node.text))
      fail(m, "duplicate key '" + node.text + "'", "first given at line " + std::to_string(old->place.line));
    if (level.node.entries.size() >= limits_.keys_per_map)
      fail(m, "more than " + std::to_string(limits_.keys_per_map) + " keys in one map");
    level.has_key = true;
    level.key = node.text;
    level.key_place = node.place;
  }

  void attach(Node node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = stack_.back();
    if (level.node.is_list()) {
      level.node.items.push_back(std::move(node));
      return;
    }
    if (node.is_null() && node.place.line != level.key_place.line) node.place = level.key_place;  // yaml-cpp marks what follows
    Entry e;
    e.key = std::move(level.key);
    e.place = level.key_place;
    e.value = std::move(node);
    level.node.entries.push_back(std::move(e));
    level.has_key = false;
  }

  std::string_view text_;
  std::vector<size_t> line_starts_;
  std::shared_ptr<const Source> source_;
  YamlLimits limits_;
  Node root_;
  std::vector<Level> stack_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

Place place_of_byte(std::string_view text, size_t at, const std::shared_ptr<const Source>& source) {
  Place p{source, 1, 1};
  for (size_t i = 0; i < at; ++i) {
    if (text[i] == '\n') {
      ++p.line;
      p.column = 1;
    } else {
      ++p.column;
    }
  }
  return p;
}

size_t first_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    size_t n = 1;
    while (n <= 4 && !is_valid_utf8(text.substr(i, n))) ++n;
    if (n > 4) return i;
    i += n;
  }
  return text.size();
}

void check_bytes(std::string_view text, const std::shared_ptr<const Source>& source, const YamlLimits& limits) {
  if (text.size() > limits.bytes)
    throw usage_error(source->name, "larger than 1 MiB (" + std::to_string(text.size()) + " bytes)",
                      "a configuration is never that large");
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_control(text[i])) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "0x%02X", static_cast<unsigned>(static_cast<unsigned char>(text[i])));
      throw usage_error(place_of_byte(text, i, source).text(), std::string("control character ") + hex,
                        "save the file as plain UTF-8 text");
    }
  }
  if (!is_valid_utf8(text))
    throw usage_error(place_of_byte(text, first_invalid_utf8(text), source).text(), "invalid UTF-8", "save the file as UTF-8");
}

// "%YAML 1.1", "%PDF-1.4": yaml-cpp takes the line for a directive and the rest for nothing.
void check_directive(std::string_view text, const std::shared_ptr<const Source>& source) {
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const size_t first = text.find_first_not_of(" \t\r", start);
    if (first < end && text[first] == '%')
      throw usage_error(place_of_byte(text, first, source).text(), "directives (%) are not supported", "remove the line");
    if (first < end && text[first] != '#') return;
    start = end + 1;
  }
}

Node parse(std::string_view text, const std::shared_ptr<const Source>& source, const YamlLimits& limits) {
  check_bytes(text, source, limits);
  check_directive(text, source);
  Builder builder(text, source, limits);
  std::istringstream in{std::string(text)};
  try {
    YAML::Parser parser(in);
    if (parser.HandleNextDocument(builder)) {
      while (parser.HandleNextDocument(builder)) {  // OnDocumentStart throws at the second document
      }
    }
  } catch (const YAML::Exception& e) {
    const Place p{source, e.mark.line + 1, e.mark.column + 1};
    throw usage_error(p.text(), "YAML syntax: " + e.msg, "");
  }
  return builder.take();
}

}  // namespace

Node parse_yaml(std::string_view text, std::shared_ptr<const Source> source, const YamlLimits& limits) {
  Node root = parse(text, source, limits);
  if (root.is_null()) {
    root = Node::map();
    root.place = {source, 1, 1};
  }
  if (!root.is_map()) throw usage_error(root.place.text(), "the top level must be a map", "write 'key: value' lines");
  return root;
}

Node parse_flow(std::string_view text, std::shared_ptr<const Source> source, const YamlLimits& limits) {
  const std::string what = "cannot read the value '" + clip_text(std::string(text), 80) + "'";
  Node root;
  try {
    // Inside brackets only flow syntax is possible; the newline ends a comment.
    root = parse("[" + std::string(text) + "\n]", source, limits);
  } catch (const Error& e) {
    const bool shape = starts_with(e.message(), "YAML syntax") || starts_with(e.message(), "a second document") ||
                       starts_with(e.message(), "a list or map cannot") || starts_with(e.message(), "an empty key");
    if (shape) throw usage_error(source->name, what, "quote text that holds , [ ] { } or #");
    throw;
  }
  if (!root.is_list() || root.items.size() > 1) throw usage_error(source->name, what, "write a list as [1, 2]");
  if (root.items.empty()) {
    Node n = Node::null();
    n.place = {source, 0, 0};
    return n;
  }
  return std::move(root.items[0]);
}

}  // namespace ups::config
