#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <fcntl.h>

#include <fstream>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/io/tensors.h"
#include "ups/io/torch_file.h"
#include "ups/io/zip.h"

using namespace ups;
using io::PtValue;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(UPS_SOURCE_DIR) / "tests/golden/io";

std::string slurp(const fs::path& p) {
  std::ifstream f(p, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}

std::string refusal(const std::string& bytes) {
  try {
    io::parse_pt({bytes.data(), bytes.size()}, "x.pt");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::checkpoint);
    return e.what();
  }
  return "";
}

// A .pt file with this pickle and one storage of 16 bytes.
std::string pt_with(const std::string& pickle) {
  test::TempDir dir;
  io::OutputFile f(AT_FDCWD, (dir / "x.pt").string(), "x.pt");  // without fsync: hundreds of these are made
  io::ZipWriter zip(f, "archive");
  zip.add("data.pkl", pickle.data(), pickle.size());
  zip.add("data/0", "0123456789abcdef", 16);
  zip.finish();
  f.close();
  return slurp(dir / "x.pt");
}

std::string text(const std::string& s) {
  std::string out = "X";
  for (int i = 0; i < 4; ++i) out += static_cast<char>(s.size() >> (8 * i) & 0xff);
  return out + s;
}
std::string integer(int64_t v) {
  std::string out = "\x8a\x08";
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<uint64_t>(v) >> (8 * i) & 0xff);
  return out;
}
std::string tuple(const std::vector<int64_t>& v) {
  std::string out = "(";
  for (const int64_t x : v) out += integer(x);
  return out + "t";
}
std::string tensor(int64_t offset, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                   int64_t numel = 4, const std::string& storage = "FloatStorage") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + storage + "\n" + text("0") + text("cpu") +
         integer(numel) + "tQ" + integer(offset) + tuple(sizes) + tuple(strides) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

}  // namespace

TEST_CASE("tensors survive safetensors, strided and low-precision ones too") {
  test::TempDir dir;
  const io::NamedTensors in{{"w", at::randn({3, 4}).t()},
                            {"h", at::randn({5}).to(at::kBFloat16)},
                            {"scalar", at::scalar_tensor(2.5, at::kDouble)},
                            {"flags", at::arange(2).eq(0)},
                            {"none", at::empty({0, 3})},
                            {"slice", at::arange(100).slice(0, 5, 9)}};
  io::save_safetensors(dir / "t", in, {{"k", "v"}});
  io::Metadata metadata;
  const auto out = io::load_safetensors(dir / "t", &metadata);
  CHECK(metadata.at("k") == "v");
  REQUIRE(out.size() == in.size());
  for (const auto& [name, t] : in) {
    const auto it = std::find_if(out.begin(), out.end(), [&, n = name](const auto& p) { return p.first == n; });
    REQUIRE(it != out.end());
    CHECK(it->second.scalar_type() == t.scalar_type());
    CHECK(it->second.sizes() == t.sizes());
    CHECK(at::equal(it->second, t));
  }
  std::string bytes = slurp(dir / "t");
  bytes.back() = 7;  // the flags come last: one byte each
  CHECK_THROWS_AS(io::tensors_from_safetensors({bytes.data(), bytes.size()}, "t"), Error);
}

TEST_CASE("our .pt files read back, equal values give equal bytes") {
  test::TempDir dir;
  PtValue root = PtValue::make_dict();
  const at::Tensor w = at::randn({3, 4});
  PtValue state = PtValue::make_dict(), group = PtValue::make_dict(), slot = PtValue::make_dict();
  slot.set("step", PtValue::of_tensor(at::scalar_tensor(3.f))).set("exp_avg", PtValue::of_tensor(w.t()));
  state.set(0, slot).set(-5'000'000'000, PtValue());
  group.set("lr", PtValue::of_real(1e-3))
      .set("betas", PtValue::make_tuple({PtValue::of_real(0.9), PtValue::of_real(0.95)}));
  group.set("flag", PtValue::of_bool(true))
      .set("params", PtValue::make_list({PtValue::of_int(0), PtValue::of_int(70000)}))
      .set("name", PtValue::of_text("é\n"));
  group.set("empty", PtValue::make_list()).set("none", PtValue());
  root.set("state", state).set("param_groups", PtValue::make_list({group}));
  io::save_pt_tree(dir / "a.pt", root);
  io::save_pt_tree(dir / "b.pt", root);
  CHECK(slurp(dir / "a.pt") == slurp(dir / "b.pt"));
  const PtValue back = io::load_pt_tree(dir / "a.pt");
  CHECK(at::equal(back.find("state")->find(0)->find("exp_avg")->tensor, w.t()));
  CHECK(back.find("state")->find(-5'000'000'000)->is(PtValue::Kind::none));
  const PtValue& g = back.find("param_groups")->items.at(0);
  CHECK(g.find("lr")->real == 1e-3);
  CHECK(g.find("betas")->items[1].real == 0.95);
  CHECK(g.find("flag")->is(PtValue::Kind::boolean));
  CHECK(g.find("params")->items[1].integer == 70000);
  CHECK(g.find("name")->text == "é\n");
  CHECK_THROWS_AS(io::load_pt(dir / "a.pt"), Error);  // not a state dict
}

TEST_CASE("state dicts made by Python load by name, with torch.compile's prefix removed") {
  const auto plain = io::load_safetensors(kGolden / "operator_odd.state.safetensors");
  for (const char* file : {"operator_odd.state.pt", "operator_odd.compiled_prefix.pt"}) {
    const auto loaded = io::load_weights(kGolden / file);
    REQUIRE(loaded.size() == plain.size());
    for (const auto& [name, t] : loaded) {
      const auto it = std::find_if(plain.begin(), plain.end(), [&, n = name](const auto& p) { return p.first == n; });
      REQUIRE(it != plain.end());
      CHECK(at::equal(it->second, t));
    }
  }
  CHECK(io::load_weights(kGolden / "operator_odd.state.safetensors").size() == plain.size());
}

TEST_CASE("Python's optimizer states and shared storages load as trees") {
  const PtValue optim = io::load_pt_tree(kGolden / "adamw_ups_step50.pt");
  REQUIRE(optim.find("state") != nullptr);
  const PtValue* first = optim.find("state")->find(int64_t{0});
  REQUIRE(first != nullptr);
  CHECK(first->find("exp_avg")->is(PtValue::Kind::tensor));
  CHECK(first->find("step")->tensor.item<float>() == 50);
  REQUIRE(optim.find("param_groups") != nullptr);
  CHECK(optim.find("param_groups")->items.at(0).find("betas")->is(PtValue::Kind::tuple));
  const PtValue full = io::load_pt_tree(kGolden / "ckpt.pt");  // gen.py of the design's proof of concept
  const auto& shared = full.find("shared")->items;
  CHECK(at::equal(shared.at(0).tensor.t(), shared.at(1).tensor));
  CHECK(full.find("epoch")->integer == 3);
  CHECK(full.find("none")->is(PtValue::Kind::none));
  CHECK(full.find("model")->find("1.num_batches_tracked")->tensor.item<int64_t>() == 1);
}

TEST_CASE("pickles that are more than data are refused") {
  CHECK_THAT(refusal(slurp(kGolden / "module.pt")), Catch::Contains("not plain weights"));
  CHECK_THAT(refusal(slurp(kGolden / "old.pt")), Catch::Contains("not a zip"));
  CHECK_THAT(refusal(slurp(kGolden / "misc.pt")), Catch::Contains("not plain weights"));
  const std::string head("\x80\x02", 2);
  CHECK(refusal(pt_with(head + tensor(0, {2, 2}, {2, 1}) + ".")).empty());
  CHECK(refusal(pt_with(head + tensor(0, {2, 2}, {1, 2}) + ".")).empty());
  CHECK(refusal(pt_with(head + tensor(0, {0, 7}, {7, 1}, 0) + ".")).empty());
  const std::vector<std::pair<std::string, std::string>> cases{
      {head + "cos\nsystem\n" + text("true") + "\x85R.", "not plain weights"},
      {head + "cbuiltins\neval\n" + text("1") + "\x85R.", "not plain weights"},
      {head + "ctorch\nload\n" + text("1") + "\x85R.", "not plain weights"},
      {head + "ctorch\nFloatStorage\n)R.", "call of"},
      {head + "ccollections\nOrderedDict\n)\x81.", "opcode 129"},
      {head + "ios\nsystem\n.", "opcode 105"},
      {"\x80\x04\x8c\x02os\x8c\x06system\x93.", "opcode"},
      {head + "}}b.", "BUILD"},
      {head + "]}b.", "BUILD"},
      {head + text("a") + "ctorch\nFloatStorage\n\x86Q.", "storage id"},
      {head + tensor(0, {2, 2}, {2, 2}) + ".", "past its storage"},
      {head + tensor(1, {4}, {1}) + ".", "past its storage"},
      {head + tensor(0, {5}, {1}, 5) + ".", "shorter than declared"},
      {head + tensor(-1, {2}, {1}) + ".", "geometry"},
      {head + tensor(0, {2}, {-1}) + ".", "stride"},
      {head + tensor(0, {-2}, {1}) + ".", "size"},
      {head + tensor(0, {int64_t{1} << 40}, {0}) + ".", "larger than the file"},
      {head + tensor(0, {int64_t{1} << 62, int64_t{1} << 62}, {0, 0}) + ".", "larger than the file"},
      {head + tensor(0, {2}, {int64_t{1} << 62}) + ".", "past its storage"},
      {head + tensor(0, {2, 2}, {1}) + ".", "geometry"},
      {head + tensor(0, {int64_t{1} << 62, 0, int64_t{1} << 62}, {1, 1, 1}) + ".", "too large"},
      {head + tensor(0, {4}, {1}, 4, "BoolStorage") + ".", "bad boolean"},
      {head + "}" + text("a") + "K\1s" + text("a") + "K\2s.", "duplicate"},
      {head + "}NK\1s.", "dict key"},
  };
  for (const auto& [pickle, reason] : cases) {
    INFO(pickle);
    CHECK_THAT(refusal(pt_with(pickle)), Catch::Contains(reason));
  }
  // Depth, cycles, exponential aliasing, memory.
  std::string deep = head;
  for (int k = 0; k < 100; ++k) deep += "]";
  for (int k = 0; k < 99; ++k) deep += "a";
  CHECK_THAT(refusal(pt_with(deep + ".")), Catch::Contains("64 levels"));
  CHECK_THAT(refusal(pt_with(head + std::string("]q\0h\0a.", 7))), Catch::Contains("64 levels"));
  std::string bomb = head + "]";
  for (int k = 0; k < 40; ++k)
    bomb += std::string("q\0", 2) + "](" + std::string("h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0", 20) + "e";
  CHECK_THAT(refusal(pt_with(bomb + ".")), Catch::Contains("1000000 values"));
  CHECK_THAT(refusal(pt_with(head + std::string(2'000'000, ']') + ".")), Catch::Contains("stack too high"));
  CHECK_THAT(refusal(pt_with(head + "]" +
                             [] {
                               std::string nodes;
                               for (int k = 0; k < 1'000'001; ++k) nodes += "Na";
                               return nodes;
                             }() +
                             ".")),
             Catch::Contains("1000000 values"));
  CHECK_THAT(refusal(pt_with(std::string(17 << 20, 'N'))), Catch::Contains("16 MiB"));
  std::string many = head + "](";
  for (int k = 0; k < 10001; ++k) many += tensor(0, {1}, {1});
  CHECK_THAT(refusal(pt_with(many + "e.")), Catch::Contains("10000 tensors"));
}

TEST_CASE("zip archives with tricks are refused") {
  test::TempDir dir;
  io::save_pt(dir / "x.pt", {{"w", at::arange(6).to(at::kFloat)}});
  const std::string good = slurp(dir / "x.pt");
  REQUIRE(refusal(good).empty());
  const auto patched = [&](const std::string& what, size_t nth, size_t shift, const std::string& by) {
    std::string bytes = good;
    size_t at = bytes.find(what);
    for (size_t k = 0; k < nth; ++k) at = bytes.find(what, at + 1);
    bytes.replace(at + shift, by.size(), by);
    return refusal(bytes);
  };
  const std::string central = std::string("PK\1\2", 4);
  CHECK_THAT(patched(central, 0, 10, "\x08"), Catch::Contains("compressed"));
  CHECK_THAT(patched(central, 0, 8, "\x01"), Catch::Contains("encrypted"));
  CHECK_THAT(patched(central, 0, 46, "/../../"), Catch::Contains("outside"));
  CHECK_THAT(patched(central, 1, 46, "elsewhr"), Catch::Contains("outside"));
  CHECK_THAT(patched(central, 0, 42, "\xff\xff\xff\x7f"), Catch::Contains("truncated"));
  CHECK_THAT(patched(central, 1, 42, std::string("\0\0\0\0", 4)), Catch::Contains("local header"));
  CHECK_THAT(patched(central, 0, 24, "\xff\xff\xff\x7f"), Catch::Contains("compressed"));
  CHECK_THAT(patched(std::string("PK\5\6", 4), 0, 10, "\xff\xff"), Catch::Contains("zip64"));
  // One flipped bit in the data: LibTorch's own reader does not notice.
  std::string flipped = good;
  const float value = 3;
  const size_t at = flipped.find(std::string(reinterpret_cast<const char*>(&value), 4));
  REQUIRE(at != std::string::npos);
  flipped[at] = static_cast<char>(flipped[at] ^ 4);
  CHECK_THAT(refusal(flipped), Catch::Contains("checksum"));
  for (size_t n = 0; n < good.size(); n += 13) CHECK(!refusal(good.substr(0, n)).empty());
}

TEST_CASE("random damage of a .pt file never crashes the reader") {
  // The pickle is mutated inside a valid archive: the CRC would hide it otherwise.
  const std::string archive = slurp(kGolden / "ckpt.pt");
  io::ZipReader zip({archive.data(), archive.size()}, "ckpt.pt");
  const auto span = zip.read("data.pkl");
  const std::string pickle(span.data(), span.size());
  RandomStream random(11);
  int refused = 0;
  const int rounds = 600;
  for (int k = 0; k < rounds; ++k) {
    std::string bad = pickle;
    for (uint64_t e = 0; e <= random.below(3); ++e) bad[random.below(bad.size())] = static_cast<char>(random.below(256));
    try {
      const std::string file = pt_with(bad);
      io::parse_pt({file.data(), file.size()}, "x");
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > rounds / 2);
  for (int k = 0; k < 2000; ++k) {
    std::string bad = archive;
    bad[random.below(2) == 0 ? bad.size() - 1 - random.below(600) : random.below(bad.size())] =
        static_cast<char>(random.below(256));
    try {
      io::parse_pt({bad.data(), bad.size()}, "x");
    } catch (const Error&) {
    }
  }
}
