// D4 and D5: membership is a function of keys; copies between splits are found.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "data_test.h"
#include "test_common.h"
#include "ups/core/hash.h"
#include "ups/data/split.h"

using namespace ups;
using namespace ups::test;
using data::Dataset;
using data::DataOptions;
using data::Members;
using data::Split;
using data::SplitFile;

namespace {

SplitFile file_of(const std::string& path, const std::vector<int64_t>& ids, double nu = 0.01) {
  SplitFile f;
  f.path = path;
  f.family = "burgers1d";
  f.known_family = true;
  f.params = {{"nu", nu}};
  f.ids = ids;
  for (size_t i = 0; i < ids.size(); ++i) f.selected.push_back(static_cast<int64_t>(i));
  return f;
}

std::vector<int64_t> range(int64_t n) {
  std::vector<int64_t> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = i;
  return v;
}

// Split of each id of the first file.
std::map<int64_t, Split> by_id(const DataOptions& o, const std::vector<SplitFile>& files) {
  const Members m = make_split(o, resolve_split_mode(o, files), files);
  std::map<int64_t, Split> out;
  for (Split s : {Split::train, Split::val, Split::test}) {
    for (int64_t n : m[static_cast<size_t>(s)]) {
      if (n < static_cast<int64_t>(files[0].ids.size())) REQUIRE(out.emplace(files[0].ids[static_cast<size_t>(n)], s).second);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("hash split: stable under adding, removing, permuting and under more files") {
  log::set_level(log::Level::error);
  const DataOptions o;
  const auto base = by_id(o, {file_of("a.h5", range(400))});
  CHECK(base.size() == 400);
  const auto more = by_id(o, {file_of("a.h5", range(1000))});
  for (const auto& e : base) REQUIRE(more.at(e.first) == e.second);
  std::vector<int64_t> shuffled = range(400);
  std::reverse(shuffled.begin(), shuffled.end());
  shuffled.erase(shuffled.begin() + 7, shuffled.begin() + 90);
  for (const auto& e : by_id(o, {file_of("renamed.h5", shuffled)})) REQUIRE(base.at(e.first) == e.second);
  for (const auto& e : by_id(o, {file_of("b.h5", range(300), 0.1), file_of("a.h5",
      range(400))})) REQUIRE(base.at(e.first) == e.second);
  // Shares near .8, .1, .1.
  int64_t counts[3] = {};
  for (const auto& e : by_id(o, {file_of("a.h5", range(10000))})) ++counts[static_cast<size_t>(e.second)];
  CHECK(std::abs(counts[0] - 8000) < 160);
  CHECK(std::abs(counts[1] - 1000) < 120);
  DataOptions other;
  other.split_seed = 1;
  CHECK(by_id(other, {file_of("a.h5", range(400))}) != base);
}

TEST_CASE("the hash is the documented one") {
  // Any program can repeat the split: XXH3-64 of "<family>/<index>" with the seed, over 2^64.
  const std::string key = "burgers1d/17";
  const double u = static_cast<double>(hash64(key.data(), key.size(), 3)) / 18446744073709551616.0;
  const Split expected = u < 0.8 ? Split::train : u < 0.9 ? Split::val : Split::test;
  CHECK(data::split_of_key(key, 3, {0.8, 0.1, 0.1}) == expected);
}

TEST_CASE("group_by file keeps files whole; unknown families hash by stem") {
  log::set_level(log::Level::error);
  std::vector<SplitFile> files;
  for (int i = 0; i < 60; ++i) files.push_back(file_of("shard" + std::to_string(i) + ".h5", range(5)));
  DataOptions o;
  o.group_by = "file";
  const Members m = make_split(o, "hash", files);
  for (const auto& split : m) {
    for (int64_t n : split) {
      const int64_t first = n / 5 * 5;
      for (int64_t k = first; k < first + 5; ++k) REQUIRE(std::binary_search(split.begin(), split.end(), k));
    }
  }
}

TEST_CASE("pdebench cuts: first tenth of monolithic, last of per-group; exact validates on test") {
  log::set_level(log::Level::error);
  SplitFile f = file_of("a.h5", range(105));
  Members m = make_split(DataOptions(), "pdebench", {f});
  CHECK(m[2] == range(10));
  CHECK(m[0].size() + m[1].size() == 95);
  CHECK(m[1].size() > 2);
  f.per_group = true;
  m = make_split(DataOptions(), "pdebench", {f});
  CHECK(m[2].front() == 94);
  CHECK(m[2].size() == 11);
  m = make_split(DataOptions(), "pdebench_exact", {f});
  CHECK(m[1] == m[2]);
  CHECK(m[0] == range(94));
}

TEST_CASE("holdout removes parameter values from train and val without leaking their indices") {
  log::set_level(log::Level::error);
  DataOptions o;
  o.split_mode = "holdout";
  o.holdout = {{"Nu", {0.1}}};
  const Members m = make_split(o, "holdout", {file_of("a.h5", range(200), 0.01), file_of("b.h5", range(200), 0.1)});
  for (int64_t n : m[0]) REQUIRE(n < 200);
  for (int64_t n : m[1]) REQUIRE(n < 200);
  CHECK(std::any_of(m[2].begin(), m[2].end(), [](int64_t n) { return n >= 200; }));
  for (int64_t n : m[2]) REQUIRE(std::find(m[0].begin(), m[0].end(), n % 200) == m[0].end());
  o.holdout.clear();
  CHECK(error_of([&] { make_split(o, "holdout", {file_of("a.h5", range(200))}); }).code() == ExitCode::usage);
}

TEST_CASE("split files: read, checked, other keys ignored") {
  log::set_level(log::Level::error);
  const TempDir dir;
  DataOptions o;
  o.split_mode = "file";
  o.split_file = dir.file("s.json");
  const auto split = [&](const std::string& text) {
    std::ofstream(o.split_file) << text;
    return error_of([&] { make_split(o, "file", {file_of("a.h5", range(10))}); });
  };
  CHECK(split(R"({"train": [0, 1, 5], "val": [3], "test": [9], "made_by": {"x": [1]}})").code() == ExitCode::ok);
  CHECK(is_data_error(split(R"({"train": [0], "val": [3]})"), "'test'"));
  CHECK(is_data_error(split(R"({"train": [0], "val": [3], "test": [10]})"), "0 to 9"));
  CHECK(is_data_error(split(R"({"train": [0], "val": [-1], "test": [1]})"), "-1"));
  CHECK(is_data_error(split(R"({"train": [0], "val": ["1"], "test": [1]})"), "'val'"));
  CHECK(is_data_error(split(R"({"train": [0, 1], "val": [1], "test": [2]})"), "index 1 twice"));
  CHECK(is_data_error(split(R"({"train": [0], "val": [], "test": [2]})"), "val 0"));
  CHECK(is_data_error(split("not json"), "s.json"));
  std::filesystem::remove(o.split_file);
  CHECK(is_data_error(error_of([&] { make_split(o, "file", {file_of("a.h5", range(10))}); }), "s.json"));
  o.split_file.clear();
  CHECK(error_of([&] { make_split(o, "file", {file_of("a.h5", range(10))}); }).code() == ExitCode::usage);
  o.split_fractions = {0.5, 0.5};
  CHECK(error_of([&] { make_split(o, "hash", {file_of("a.h5", range(10))}); }).code() == ExitCode::usage);
}

TEST_CASE("split.json can be read back, and its hash follows the data") {
  const TempDir dir;
  log::set_level(log::Level::error);
  make_burgers(dir.file("b.h5"), 60, 3, 8);
  DataOptions o;
  o.files = {dir.file("b.h5")};
  const auto a = Dataset::open(o), b = Dataset::open(o);
  CHECK(a->split_hash() == b->split_hash());
  CHECK(a->split_json() == b->split_json());
  const nlohmann::json j = nlohmann::json::parse(a->split_json());
  CHECK(j["split_hash"] == a->split_hash());
  CHECK(j["files"][0]["name"] == "b.h5");
  nlohmann::json without = j;
  without.erase("split_hash");
  CHECK(hash128_hex(without.dump()) == a->split_hash());
  std::ofstream(dir.file("split.json")) << a->split_json();
  DataOptions again = o;
  again.split_mode = "file";
  again.split_file = dir.file("split.json");
  const auto c = Dataset::open(again);
  for (Split s : {Split::train, Split::val, Split::test}) CHECK(c->members(s) == a->members(s));
  const TempDir elsewhere;
  make_burgers(elsewhere.file("b.h5"), 61, 3, 8);
  o.files = {elsewhere.file("b.h5")};
  CHECK(Dataset::open(o)->split_hash() != a->split_hash());
}

TEST_CASE("too few trajectories: an empty split is an error") {
  const TempDir dir;
  log::set_level(log::Level::error);
  make_burgers(dir.file("b.h5"), 3, 3, 8);
  DataOptions o;
  o.files = {dir.file("b.h5")};
  CHECK(is_data_error(error_of([&] { Dataset::open(o); }), "split"));
}

TEST_CASE("leaks: copied shards and shared initial conditions are refused") {
  const TempDir dir;
  log::set_level(log::Level::error);
  // As UPS's split script does it: val and test are copies of rows that stay in train.
  const auto shard = [&](const std::string& split, int64_t first, int64_t n) {
    MakeH5 f(dir.file("burgers1d_" + split + ".h5"));
    f.dataset("/data", {n, 3, 8, 1}, [first](int64_t k) { return value_of(first + k / 24, k / 8 % 3, 0, k % 8); });
  };
  shard("train", 0, 20);
  shard("val", 15, 3);
  shard("test", 18, 2);
  DataOptions o;
  o.root = dir.path().string();
  o.task = {"burgers1d"};
  const Error e = error_of([&] { Dataset::open(o); });
  CHECK(is_data_error(e, "5 equal pairs"));
  CHECK(contains(e.line(), "burgers1d_val.h5:/data[0]"));
  CHECK(contains(e.line(), "burgers1d_train.h5:/data[15]"));
  o.allow_overlap = true;
  CHECK_NOTHROW(Dataset::open(o));
  o.allow_overlap = false;
  shard("val", 20, 3);
  shard("test", 23, 2);
  CHECK_NOTHROW(Dataset::open(o));

  // Two parameter files with the same initial fields, cut per file: PDEBench's own split leaks only if the cuts differ.
  make_burgers(dir.file("Burgers_Nu0.01.hdf5"), 40, 3, 8, 0.01);
  make_burgers(dir.file("Burgers_Nu0.1.hdf5"), 40, 3, 8, 0.1);
  DataOptions two;
  two.files = {dir.file("Burgers_Nu0.01.hdf5"), dir.file("Burgers_Nu0.1.hdf5")};
  CHECK_NOTHROW(Dataset::open(two));
  two.group_by = "file";
  two.split_fractions = {0.5, 0.25, 0.25};
  bool leaked = false;
  for (two.split_seed = 0; two.split_seed < 64 && !leaked; ++two.split_seed) {
    leaked = contains(error_of([&] { Dataset::open(two); }).line(), "equal pair");
  }
  CHECK_FALSE(leaked);  // two files cannot fill three splits: the empty split is reported first
}
