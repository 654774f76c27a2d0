// Bad configurations: the curated files of tests/config_bad, and for every honoured key a typo, a wrong type and a value out of
// range.
#include <chrono>
#include <cstdio>
#include <set>

#include "config_test.h"
#include "test_common.h"
#include "ups/config/emit.h"
#include "ups/core/rng.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

using namespace ups;
using config_test::contains;

namespace {

// Error lines for a file on disk.
std::vector<std::string> errors_of_file(const std::string& path) {
  try {
    run::load_run_config({path}, {});
  } catch (const config::ConfigErrors& e) {
    std::vector<std::string> out;
    for (const auto& one : e.errors()) out.push_back(one.line());
    return out;
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    return {e.line()};
  }
  return {};
}

std::string trim(const std::string& s) {
  const size_t a = s.find_first_not_of(' ');
  return a == std::string::npos ? "" : s.substr(a, s.find_last_not_of(' ') - a + 1);
}

// YAML text that sets one dotted key, and the line and column of the key and of the value.
struct Single {
  std::string text;
  int line = 0, key_column = 0, value_column = 0;
};
Single single(const std::string& path, const std::string& value) {
  Single s;
  std::string indent;
  for (const auto& part : split(path, '.')) {
    if (s.line > 0) s.text += "\n";
    s.text += indent + part + ":";
    s.key_column = static_cast<int>(indent.size()) + 1;
    s.value_column = s.key_column + static_cast<int>(part.size()) + 2;
    indent += "  ";
    ++s.line;
  }
  s.text += " " + value + "\n";
  return s;
}

std::string place(const Single& s, int column) {
  return "c.yaml:" + std::to_string(s.line) + ":" + std::to_string(column) + ": ";
}

// The keys that the generator tries: honoured leaves, each once (repeated optimizer and data blocks included).
std::vector<config::KeyInfo> honoured_keys() {
  std::vector<config::KeyInfo> out;
  for (const auto& k : run::run_schema().keys()) {
    if (!k.is_block && k.info.status == KeyStatus::honoured && !contains(k.path, "*") && !k.info.free_form) out.push_back(k);
  }
  return out;
}

// A slip in one place of a word: drop, double, swap, replace.
std::string typo(const std::string& word, RandomStream& random) {
  std::string s = word;
  const size_t i = static_cast<size_t>(random.below(s.size()));
  switch (random.below(4)) {
    case 0:
      if (s.size() > 2) {
        s.erase(i, 1);
        break;
      }
      [[fallthrough]];
    case 1: s.insert(i, 1, s[i]); break;
    case 2:
      if (i + 1 < s.size() && s[i] != s[i + 1]) {
        std::swap(s[i], s[i + 1]);
        break;
      }
      [[fallthrough]];
    default: s[i] = s[i] == 'q' ? 'x' : 'q';
  }
  return s;
}

std::string wrong_type(const config::KeyInfo& k) {
  if (k.type == "true/false") return "maybe";
  if (k.type == "integer") return "many";
  if (k.type == "number") return "much";
  if (k.type == "number or text") return "[1]";
  if (starts_with(k.type, "map of")) return "7";
  if (k.type == "list of texts") return "{a: 1}";
  if (starts_with(k.type, "list of")) return "word";
  return "[a, b]";  // text
}

}  // namespace

TEST_CASE("every curated file gives its place and message") {
  const std::string folder = std::string(UPS_SOURCE_DIR) + "/tests/config_bad/";
  std::ifstream list(folder + "expected.txt");
  REQUIRE(list);
  std::set<std::string> listed;
  for (std::string line; std::getline(list, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto parts = split(line, '|');
    REQUIRE(parts.size() == 3);
    const std::string name = trim(parts[0]), where = trim(parts[1]), what = trim(parts[2]);
    listed.insert(name);
    const auto start = std::chrono::steady_clock::now();
    const auto errors = errors_of_file(folder + name);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    INFO(name << ": " << (errors.empty() ? "no error" : errors[0]) << " in " << ms << " ms");
    REQUIRE(!errors.empty());
    CHECK(ms < 1000);
    CHECK(errors[0].size() < 400);
    CHECK(contains(errors[0], name));
    if (!where.empty()) CHECK(contains(errors[0], name + ":" + where));
    CHECK(contains(errors[0], what));
    CHECK(escape_text(errors[0]) == errors[0]);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (ends_with(name, ".yaml")) CHECK(listed.count(name) == 1);
  }
  CHECK(listed.size() >= 70);
}

TEST_CASE("generated: typos are found and the right key is suggested") {
  RandomStream random(5);
  int tried = 0, right = 0;
  for (const auto& k : honoured_keys()) {
    const auto parts = split(k.path, '.');
    const std::string parent = k.path.substr(0, k.path.size() - parts.back().size());
    for (int n = 0; n < 3; ++n) {
      const std::string bad = parent + typo(parts.back(), random);
      const std::string bad_last = split(bad, '.').back();
      if (run::run_schema().find(bad) != nullptr ||
          !run::run_schema().canonical(parent.empty() ? "" : parent.substr(0, parent.size() - 1), bad_last).empty())
        continue;
      const Single s = single(bad, "1");
      const auto errors = config_test::errors_of(s.text);
      INFO(bad << " -> " << (errors.empty() ? "no error" : errors[0]));
      REQUIRE(errors.size() == 1);
      CHECK(errors[0].rfind(place(s, s.key_column) + "unknown key '" + bad + "'", 0) == 0);
      ++tried;
      const bool good = contains(errors[0], "did you mean '" + k.path + "'?");
      right += good;
      if (!good) std::printf("suggestion missed: %s\n", errors[0].c_str());
    }
  }
  std::printf("typos: %d tried, %d with the right suggestion (%.1f %%)\n", tried, right, 100.0 * right / tried);
  CHECK(tried >= 300);
  CHECK(right >= 0.95 * tried);
}

TEST_CASE("generated: wrong types") {
  int tried = 0;
  for (const auto& k : honoured_keys()) {
    const Single s = single(k.path, wrong_type(k));
    const auto errors = config_test::errors_of(s.text);
    INFO(s.text << (errors.empty() ? "no error" : errors[0]));
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].rfind(place(s, s.value_column) + k.path, 0) == 0);
    CHECK(contains(errors[0], "must be"));
    ++tried;
  }
  std::printf("wrong types: %d\n", tried);
  CHECK(tried >= 150);
}

TEST_CASE("generated: values out of range and unknown choices") {
  int tried = 0;
  const auto check = [&](const config::KeyInfo& k, const std::string& value, const std::string& word) {
    const bool list = starts_with(k.type, "list of");
    const int depth = starts_with(k.type, "list of lists") ? 2 : list ? 1 : 0;
    const std::string open(static_cast<size_t>(depth), '['), close(static_cast<size_t>(depth), ']');
    const Single s = single(k.path, open + value + close);
    const auto errors = config_test::errors_of(s.text);
    INFO(s.text << (errors.empty() ? "no error" : errors[0]));
    REQUIRE(!errors.empty());
    CHECK(errors[0].rfind(place(s, s.value_column + depth) + k.path, 0) == 0);
    CHECK(contains(errors[0], word));
    CHECK(contains(errors[0], value));
    ++tried;
  };
  for (const auto& k : honoured_keys()) {
    if (starts_with(k.type, "map of")) continue;
    const bool whole = contains(k.type, "integer");
    if (k.info.min)
      check(k, whole ? std::to_string(static_cast<int64_t>(*k.info.min) - 1) : config::to_flow(*config::node_of(*k.info.min - 1)),
            "must be");
    if (k.info.min && k.info.open_min) check(k, config::to_flow(*config::node_of(*k.info.min)), "must be");
    if (k.info.max && *k.info.max < 9e18)
      check(
          k,
          whole ? std::to_string(static_cast<int64_t>(*k.info.max) + 1) : config::to_flow(*config::node_of(*k.info.max * 2 + 1)),
          "must be");
    if (!k.info.choices.empty() && contains(k.type, "text") && k.type != "number or text") check(k, "zzzzzzzz", "cannot be");
  }
  std::printf("out of range: %d\n", tried);
  CHECK(tried >= 300);
}

TEST_CASE("several mistakes are listed at once, by place, twenty at most") {
  std::string text = "training:\n";
  for (int i = 0; i < 30; ++i) text += "  no_such_key_" + std::to_string(i) + ": 1\n";
  text += "seed: x\n";
  try {
    config_test::load_text(text);
    FAIL("loaded");
  } catch (const config::ConfigErrors& e) {
    CHECK(e.errors().size() == 20);
    CHECK(e.total() == 31);
    for (size_t i = 0; i < 20; ++i) CHECK(e.errors()[i].place() == "c.yaml:" + std::to_string(i + 2) + ":3");
  }
}

TEST_CASE("oversize input is refused quickly") {
  std::string keys = "notes:\n", dashes = "notes:\n", nodes = "notes: [";
  for (int i = 0; i <= 10000; ++i) keys += "  k" + std::to_string(i) + ": 1\n";
  for (int i = 0; i < 20000; ++i) dashes += "- ";
  for (int i = 0; i <= 100000; ++i) nodes += "1,";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {std::string((1 << 20) + 1, '#'), "larger than 1 MiB"},
      {keys, "c.yaml:10002:3: more than 10000 keys in one map"},
      {dashes + "\n", "nested too deep"},
      {nodes + "1]\n", "more than 100000 values"},
      {"notes: " + std::string(70000, 'x') + "\n", "c.yaml:1:8: a text of 70000 bytes; the limit is 64 KiB"}};
  for (const auto& [text, what] : cases) {
    const auto start = std::chrono::steady_clock::now();
    const std::string error = config_test::first_error(text);
    INFO(error);
    CHECK(contains(error, what));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  }
}
