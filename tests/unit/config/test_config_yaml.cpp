// The YAML guards, the number grammar and the emitters.
#include "test_common.h"
#include "ups/config/emit.h"
#include "ups/config/number.h"
#include "ups/config/yaml.h"
#include "ups/core/error.h"
#include "ups/core/rng.h"

using namespace ups::config;

namespace {
std::shared_ptr<const Source> source() { return std::make_shared<Source>(Source{"f.yaml", 0, true}); }
std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, source());
  } catch (const ups::Error& e) {
    CHECK(e.code() == ups::ExitCode::usage);
    return e.line();
  }
  return "";
}
}  // namespace

TEST_CASE("places are one-based and point at the value") {
  const Node root = parse_yaml("a: 1\nb:\n  c: [x, yy]\n", source());
  CHECK(root.at("b.c")->items[1].place.text() == "f.yaml:3:10");
  CHECK(root.at("b")->find("c")->place.text() == "f.yaml:3:3");
  CHECK(root.at("b.d") == nullptr);
}

TEST_CASE("quoting decides what is text") {
  const Node root = parse_yaml("a: 1\nb: '1'\nc: \"null\"\nd: null\ne: ~\nf:\ng: |\n  text\n", source());
  CHECK_FALSE(root.at("a")->quoted);
  CHECK(root.at("b")->quoted);
  CHECK(root.at("c")->is_scalar());
  CHECK(root.at("d")->is_null());
  CHECK(root.at("e")->is_null());
  CHECK(root.at("f")->is_null());
  CHECK(root.at("g")->text == "text\n");
}

TEST_CASE("an empty file is an empty map, a byte order mark is skipped, CRLF is accepted") {
  CHECK(parse_yaml("", source()).entries.empty());
  CHECK(parse_yaml("# nothing\n", source()).is_map());
  CHECK(parse_yaml("\xEF\xBB\xBFseed: 1\r\nnotes: x\r\n", source()).at("notes")->text == "x");
}

TEST_CASE("limits") {
  CHECK(error_of("a: 1\n---\nb: 2\n") ==
        "f.yaml:2:1: a second document; a configuration is one YAML document: remove '---' or move it to another file");
  CHECK(error_of(std::string(1 << 20, '#')).empty());
  CHECK_FALSE(error_of(std::string((1 << 20) + 1, '#')).empty());
  std::string nested = "a: ";
  for (int i = 0; i < 31; ++i) nested += "[";
  std::string ok = nested + std::string(31, ']');
  CHECK(error_of(ok + "\n").empty());  // with the map itself: 32 levels
  CHECK(error_of("a: " + std::string(32, '[') + std::string(32, ']') + "\n") ==
        "f.yaml:1:35: nested too deep; the limit is 32 levels");
}

TEST_CASE("flow values of --set") {
  const auto flow = [](const std::string& text) { return to_flow(parse_flow(text, source())); };
  CHECK(flow("3") == "3");
  CHECK(flow("[1, 2]") == "[1, 2]");
  CHECK(flow("{a: 1, b: [x]}") == "{a: 1, b: [x]}");
  CHECK(flow("") == "null");
  CHECK(flow("two words") == "two words");
  CHECK(flow("'1'") == "\"1\"");
  CHECK_THROWS_AS(flow("1, 2"), ups::Error);
  CHECK_THROWS_AS(flow("a], [b"), ups::Error);
  CHECK_THROWS_AS(flow("]"), ups::Error);
  CHECK_THROWS_AS(flow("&a 3"), ups::Error);
}

TEST_CASE("integers") {
  for (const char* good : {"0", "-0", "+5", "123", "-9223372036854775808", "9223372036854775807"}) CHECK(parse_integer(good).ok);
  const std::vector<std::pair<std::string, std::string>> bad = {{"010", "write 10 (no leading zeros)"},
                                                                {"0x10", "write 16"},
                                                                {"1_000", "write 1000"},
                                                                {"1e3", "write 1000"},
                                                                {"1:30", "write 90"},
                                                                {"1.0", "write 1"},
                                                                {"-007", "write -7 (no leading zeros)"},
                                                                {"9223372036854775808", "too large"},
                                                                {"1.5", ""},
                                                                {"abc", ""},
                                                                {"", ""},
                                                                {"0b1", ""},
                                                                {"1 ", ""},
                                                                {"--1", ""},
                                                                {"1e400", ""},
                                                                {".inf", "only finite numbers are allowed"}};
  for (const auto& [text, hint] : bad) {
    INFO(text);
    CHECK_FALSE(parse_integer(text).ok);
    CHECK(parse_integer(text).hint == hint);
  }
}

TEST_CASE("numbers") {
  const std::vector<std::pair<std::string, double>> good = {{"0", 0},         {"3e-4", 3e-4}, {".5", .5},   {"5.", 5},
                                                            {"+1.5E+2", 150}, {"-0.0", -0.0}, {"1e-400", 0}};
  for (const auto& [text, value] : good) {
    INFO(text);
    REQUIRE(parse_real(text).ok);
    CHECK(parse_real(text).value == value);
  }
  for (const char* bad :
       {"1e400", "nan", ".nan", "inf", "-.inf", "1_0.5", "0x1p3", "1e", "e3", ".", "+", "1.2.3", "01.5", "1,5", "1:30.5"}) {
    INFO(bad);
    CHECK_FALSE(parse_real(bad).ok);
  }
}

TEST_CASE("numbers survive writing and reading") {
  ups::RandomStream random(3);
  for (int i = 0; i < 2000; ++i) {
    const double x = random.normal() * std::pow(10.0, random.uniform(-30, 30));
    CHECK(parse_real(format_real(x)).value == x);
  }
}

TEST_CASE("texts survive writing and reading, whatever they look like") {
  ups::RandomStream random(7);
  const std::string alphabet = "abz019 .:-_#'\"\\{}[],&*!|>%@`~?=/\n\t<+()nulltrueyesoff";
  std::vector<std::string> texts = {"",       "null", "~", "true", "no", "1",   "1e3", ".5",  "- a", "a: b", "# c", " lead",
                                    "trail ", "a#b",  "'", "\"",   "\\", "é世", "-",   "--x", "=",   "<<",   "[",   "&a"};
  for (int i = 0; i < 3000; ++i) {
    std::string s;
    for (uint64_t n = random.below(9); n > 0; --n) s += alphabet[random.below(alphabet.size())];
    texts.push_back(s);
  }
  for (const auto& s : texts) {
    Node root = Node::map();
    root.set("k", Node::string(s));
    Node list = Node::list();
    list.items.push_back(Node::string(s));
    root.set("l", list);
    const Node back = parse_yaml(to_yaml(root), source());
    INFO(to_yaml(root));
    REQUIRE(back.at("k")->is_scalar());
    CHECK(back.at("k")->text == s);
    REQUIRE(back.at("l")->items.at(0).is_scalar());
    CHECK(back.at("l")->items[0].text == s);
    CHECK(parse_yaml(to_json(root), source()).at("k")->text == s);
  }
}

TEST_CASE("random bytes never crash and always end in an error or a map") {
  ups::RandomStream random(11);
  const std::string tokens = "a:b -[]{},&*!|>'\"%@`#\n\n  \t?~0.<";
  int errors = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string s;
    for (uint64_t n = random.below(40); n > 0; --n) s += tokens[random.below(tokens.size())];
    std::string line;
    bool map = false;
    try {
      map = parse_yaml(s, source()).is_map();
    } catch (const ups::Error& e) {
      ++errors;
      line = e.line();
    }
    CHECK(map != !line.empty());
    CHECK(line.size() < 400);
  }
  CHECK(errors > 10000);
}

TEST_CASE("merging is associative for maps and replaces the rest") {
  const auto tree = [](const char* text) { return parse_yaml(text, source()); };
  const char* a = "x: {p: 1, q: [1, 2]}\ny: 1\n";
  const char* b = "x: {q: [3], r: null}\nz: {s: 1}\n";
  const char* c = "x: {p: null}\nz: 5\n";
  Node left = tree(a);
  merge(left, tree(b));
  merge(left, tree(c));
  Node inner = tree(b);
  merge(inner, tree(c));
  Node right = tree(a);
  merge(right, inner);
  CHECK(to_json(left, true) == to_json(right, true));
  CHECK(to_json(left, true) == R"({"x":{"p":null,"q":[3],"r":null},"y":1,"z":5})");
}
