#include "checkpoint_support.h"
#define UPS_TEST_WITH_TORCH
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/log.h"
#include "ups/train/checkpoint.h"

using namespace ups;
using namespace ups::train;
using test::make_content;
using test::same_content;
namespace fs = std::filesystem;

namespace {

std::string slurp(const fs::path& p) {
  std::ifstream f(p, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}
void spill(const fs::path& p, const std::string& text) { std::ofstream(p, std::ios::binary | std::ios::trunc) << text; }

Error thrown(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return {ExitCode::ok, "", "nothing thrown"};
}

// Rewrites the manifest as its author would, with matching hashes, after `change`.
void reseal(const fs::path& step, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json j = nlohmann::json::parse(slurp(step / "MANIFEST.json"));
  for (auto& [name, record] : j["files"].items()) {
    const std::string bytes = slurp(step / name);
    record = {{"bytes", bytes.size()}, {"xxh3_128", hash128_hex(bytes)}};
  }
  j["tensors"] = nlohmann::json::object();
  change(j);
  j.erase("self");
  j["self"] = hash128_hex(j.dump());
  spill(step / "MANIFEST.json", j.dump() + "\n");
}

struct Quiet {
  Quiet() { log::set_level(log::Level::off); }
  ~Quiet() { log::set_level(log::Level::info); }
};

}  // namespace

TEST_CASE("a checkpoint comes back exactly, and the newest first") {
  test::TempDir dir;
  CheckpointStore store(dir / "ckpt", 3);
  CHECK(!store.load_newest("operator"));
  store.commit(make_content("operator", 100), true);
  store.commit(make_content("operator", 200), false);
  const auto c = store.load_newest("operator");
  REQUIRE(c);
  CHECK(same_content(*c, make_content("operator", 200)));
  CHECK(c->manifest_hash == store.manifest_hash("operator", 200));
  CHECK(store.best_step("operator") == 100);
  CHECK(store.last_step("operator") == 200);
  CHECK(!store.load_newest("diff_residual"));
  CHECK(slurp(dir / "ckpt/index.jsonl").find("\"step\":200") != std::string::npos);
  // Equal content makes equal tensor files.
  CheckpointStore other(dir / "other/ckpt", 3);
  other.commit(make_content("operator", 200), false);
  for (const char* f : {"model", "ema", "optim", "rng"}) {
    const std::string name = std::string(f) + ".safetensors";
    CHECK(slurp(store.step_path("operator", 200) / name) == slurp(other.step_path("operator", 200) / name));
  }
  CHECK(store.manifest_hash("operator", 200).size() == 32);
}

TEST_CASE("the same step can be committed again: the newer content wins") {
  test::TempDir dir;
  CheckpointStore store(dir / "ckpt", 2);
  store.commit(make_content("operator", 100), false);
  auto again = make_content("operator", 100);
  again.state_json = R"({"finished":true})";
  again.ema.clear();
  store.commit(again, true);
  const auto c = store.load_newest("operator");
  REQUIRE(c);
  CHECK(c->state_json == again.state_json);
  CHECK(c->ema.empty());
  CHECK(store.steps("operator").size() == 1);
  size_t entries = 0;
  for (const auto& e : fs::directory_iterator(dir / "ckpt/operator"))
    entries += e.path().filename().string()[0] == '.' ? 100u : 1u;
  CHECK(entries == 3);  // step, best, last; no leftovers
}

TEST_CASE("rotation keeps the newest, the best and what other stages name") {
  test::TempDir dir;
  CheckpointStore store(dir / "ckpt", 2);
  store.commit(make_content("operator", 10), false);
  auto child = make_content("diff_residual", 5);
  child.parents = {{"operator", 10, store.manifest_hash("operator", 10)}};
  store.commit(child, true);
  for (const int64_t step : {20, 30, 40, 50, 60}) store.commit(make_content("operator", step), step == 30);
  CHECK(store.steps("operator") == std::vector<int64_t>{10, 30, 50, 60});
  CHECK(store.best_step("operator") == 30);
  const auto loaded = store.load_newest("diff_residual");
  REQUIRE(loaded);
  store.verify_parents(*loaded);
  store.commit(make_content("operator", 10), false);  // another time stamp, another manifest
  auto tampered = *loaded;
  tampered.parents[0].manifest_hash = std::string(32, '0');
  const Error e = thrown([&] { store.verify_parents(tampered); });
  CHECK(e.code() == ExitCode::checkpoint);
  CHECK_THAT(e.message(), Catch::Contains(std::string(32, '0')) && Catch::Contains(store.manifest_hash("operator", 10)));
  const Error hash = thrown([] { require_same_hash("operator.pt", "split", "aa", "bb"); });
  CHECK(std::string(hash.what()) == "operator.pt: was made with another split (bb), this run has aa");
}

TEST_CASE("non-finite state is never committed") {
  for (const int where : {0, 1, 2}) {
    test::TempDir dir;
    CheckpointStore store(dir / "ckpt", 2);
    store.commit(make_content("operator", 100), true);
    auto bad = make_content("operator", 200);
    auto& group = where == 0 ? bad.model : where == 1 ? bad.ema : bad.optim;
    group[2].second.view(-1)[0] = where == 1 ? std::numeric_limits<float>::infinity() : std::nanf("");
    const Error e = thrown([&] { store.commit(bad, true); });
    CHECK(e.code() == ExitCode::diverged);
    CHECK_THAT(e.message(), Catch::Contains(group[2].first));
    CHECK(store.steps("operator") == std::vector<int64_t>{100});
    CHECK(store.best_step("operator") == 100);
    CHECK(fs::exists(dir / "diverged/operator-step-000000200/MANIFEST.json"));
  }
}

TEST_CASE("every kind of damage to every kind of file is detected and an older checkpoint is used") {
  const Quiet quiet;
  test::TempDir base;
  CheckpointStore(base / "ckpt", 5).commit(make_content("operator", 100), true);
  CheckpointStore(base / "ckpt", 5).commit(make_content("operator", 200), true);
  using Damage = std::function<void(const fs::path& step, const std::string& file)>;
  const auto edit = [](const std::function<void(std::string&)>& change) -> Damage {
    return [change](const fs::path& step, const std::string& file) {
      std::string bytes = slurp(step / file);
      change(bytes);
      spill(step / file, bytes);
    };
  };
  const auto flip = [](std::string& b, size_t at) { b[at] = static_cast<char>(b[at] ^ 1); };
  const std::vector<std::pair<std::string, Damage>> damages{
      {"first bit", edit([&](std::string& b) { flip(b, 0); })},
      {"bit in the header", edit([&](std::string& b) { flip(b, 12); })},
      {"middle bit", edit([&](std::string& b) { flip(b, b.size() / 2); })},
      {"last bit", edit([&](std::string& b) { flip(b, b.size() - 1); })},
      {"half", edit([](std::string& b) { b.resize(b.size() / 2); })},
      {"one byte short", edit([](std::string& b) { b.pop_back(); })},
      {"one byte long", edit([](std::string& b) { b += '\0'; })},
      {"empty", edit([](std::string& b) { b.clear(); })},
      {"zeroes",
       edit([](std::string& b) { std::fill(b.begin() + static_cast<std::ptrdiff_t>(b.size() / 2), b.end(), '\0'); })},
      {"garbage", edit([](std::string& b) { b = std::string(b.size(), '\x5a'); })},
      {"missing", [](const fs::path& step, const std::string& file) { fs::remove(step / file); }},
      {"another step's",
       [](const fs::path& step, const std::string& file) {
         fs::copy_file(step.parent_path() / step_name(100) / file, step / file, fs::copy_options::overwrite_existing);
       }},
      {"another file's",
       [](const fs::path& step, const std::string& file) {
         fs::copy_file(step / (file == "ema.safetensors" ? "model.safetensors" : "ema.safetensors"), step / file,
                       fs::copy_options::overwrite_existing);
       }},
      {"a directory",
       [](const fs::path& step, const std::string& file) {
         fs::remove(step / file);
         fs::create_directory(step / file);
       }},
      {"a link to good bytes",
       [](const fs::path& step, const std::string& file) {
         fs::rename(step / file, step.parent_path() / ("moved-" + file));
         fs::create_symlink(step.parent_path() / ("moved-" + file), step / file);
       }},
  };
  int cases = 0;
  const auto check = [&](const std::string& what, const std::function<void(const fs::path&)>& damage) {
    INFO(what);
    test::TempDir dir;
    fs::copy(base / "ckpt", dir / "ckpt", fs::copy_options::recursive);
    CheckpointStore store(dir / "ckpt", 5);
    const fs::path step = store.step_path("operator", 200);
    damage(step);
    const Error e = thrown([&] { CheckpointStore::load(step); });
    CHECK(e.code() == ExitCode::checkpoint);
    const auto older = store.load_newest("operator");
    REQUIRE(older);
    CHECK(same_content(*older, make_content("operator", 100)));
    CHECK(!fs::exists(step));
    CHECK(fs::exists(step.string() + ".corrupt"));
    ++cases;
  };
  for (const char* file :
       {"model.safetensors", "ema.safetensors", "optim.safetensors", "rng.safetensors", "state.json", "MANIFEST.json"}) {
    for (const auto& [name, damage] : damages)
      check(std::string(file) + ": " + name,
            [&, f = std::string(file), d = &damage](const fs::path& step) { (*d)(step, f); });
  }
  // Files that are consistent with their hashes, but wrong.
  check("extra file", [](const fs::path& step) { spill(step / "notes.txt", "x"); });
  check("extra file, listed", [](const fs::path& step) {
    spill(step / "notes.txt", "x");
    reseal(step, [](auto& j) { j["files"]["notes.txt"] = {{"bytes", 1}, {"xxh3_128", hash128_hex("x")}}; });
  });
  check("newer version", [](const fs::path& step) { reseal(step, [](auto& j) { j["version"] = 2; }); });
  check("other format", [](const fs::path& step) { reseal(step, [](auto& j) { j["format"] = "x"; }); });
  check("missing field", [](const fs::path& step) { reseal(step, [](auto& j) { j.erase("config_hash"); }); });
  check("mistyped field", [](const fs::path& step) { reseal(step, [](auto& j) { j["step"] = "200"; }); });
  check("no model", [](const fs::path& step) {
    fs::remove(step / "model.safetensors");
    reseal(step, [](auto& j) { j["files"].erase("model.safetensors"); });
  });
  check("path in the file list",
        [](const fs::path& step) { reseal(step, [](auto& j) { j["files"]["../x"] = j["files"]["model.safetensors"]; }); });
  check("tensor list of another model", [](const fs::path& step) {
    reseal(step, [](auto& j) { j["tensors"]["model"]["w"] = {{"dtype", "F32"}, {"shape", {1}}, {"xxh3_64", "0"}}; });
  });
  check("duplicate manifest keys", [](const fs::path& step) {
    std::string b = slurp(step / "MANIFEST.json");
    spill(step / "MANIFEST.json", b.insert(1, "\"build\":{},"));
  });
  check("oversize manifest", [](const fs::path& step) {
    spill(step / "MANIFEST.json", slurp(step / "MANIFEST.json") + std::string(2 << 20, ' '));
  });
  check("deeply nested manifest", [](const fs::path& step) {
    spill(step / "MANIFEST.json", std::string(500000, '[') + std::string(500000, ']') + "\n");
  });
  check("deeply nested state", [](const fs::path& step) {
    spill(step / "state.json", std::string(1000000, '[') + std::string(1000000, ']') + "\n");
    reseal(step, [](auto&) {});
  });
  check("duplicate state keys", [](const fs::path& step) {
    std::string b = slurp(step / "state.json");
    spill(step / "state.json", b.insert(1, "\"stage\":\"operator\","));
    reseal(step, [](auto&) {});
  });
  check("state of another step", [](const fs::path& step) {
    fs::copy_file(step.parent_path() / step_name(100) / "state.json", step / "state.json",
                  fs::copy_options::overwrite_existing);
    reseal(step, [](auto&) {});
  });
  check("oversize safetensors header", [](const fs::path& step) {
    std::string b = slurp(step / "optim.safetensors");
    const uint64_t n = 100'000'001;
    std::memcpy(b.data(), &n, 8);
    spill(step / "optim.safetensors", b);
    reseal(step, [](auto&) {});
  });
  check("safetensors with duplicate keys", [](const fs::path& step) {
    const std::string header =
        R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    const uint64_t n = header.size();
    spill(step / "rng.safetensors", std::string(reinterpret_cast<const char*>(&n), 8) + header + "x");
    reseal(step, [](auto&) {});
  });
  check("another stage", [](const fs::path& step) { reseal(step, [](auto& j) { j["stage"] = "diff_residual"; }); });
  check("another step under this name", [](const fs::path& step) {
    fs::remove_all(step);
    fs::copy(step.parent_path() / step_name(100), step);
  });
  CHECK(cases >= 100);
}

TEST_CASE("when nothing good is left the run does not start over") {
  const Quiet quiet;
  test::TempDir dir;
  CheckpointStore store(dir / "ckpt", 2);
  store.commit(make_content("operator", 100), false);
  store.commit(make_content("operator", 200), false);
  for (const int64_t step : {100, 200}) spill(store.step_path("operator", step) / "state.json", "{}\n");
  CHECK(thrown([&] { store.load_newest("operator"); }).code() == ExitCode::checkpoint);
  CHECK(thrown([&] { store.load_newest("operator"); }).code() == ExitCode::checkpoint);  // only *.corrupt remain
  CHECK(!store.best_step("operator"));
}

TEST_CASE("hand-edited best and last files are hints only") {
  test::TempDir dir;
  CheckpointStore store(dir / "ckpt", 2);
  store.commit(make_content("operator", 100), true);
  for (const std::string text :
       {"", "step-1", "../../etc", "step-000000300\n", "step-00000010x\n", "step-99999999999999999999999\n"}) {
    spill(dir / "ckpt/operator/best", text);
    CHECK(!store.best_step("operator"));
  }
  CHECK(parse_step_name("step-000000120") == 120);
  CHECK(parse_step_name("step-1234567890") == 1234567890);
  for (const char* bad : {"step-120", "step-000000120.corrupt", "step-0000001200", "xstep-000000120", "step-00000012-"})
    CHECK(!parse_step_name(bad));
}
