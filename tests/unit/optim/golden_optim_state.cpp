// Python's optimizer state files: load at step 50, continue to step 100 (../../golden/optim/README.md).
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#define UPS_TEST_WITH_TORCH
#include "golden_cases.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/io/torch_file.h"
#include "ups/optim/python_state.h"

using namespace ups;
using namespace ups::test;
using nlohmann::json;

namespace {

std::filesystem::path folder() { return golden_dir("UPS_OPTIM_GOLDEN_DIR", "optim"); }

optim::PyValue convert(const io::PtValue& v) {
  optim::PyValue out;
  out.kind = static_cast<optim::PyValue::Kind>(v.kind);
  out.integer = v.integer;
  out.real = v.real;
  out.text = v.text;
  out.tensor = v.tensor;
  for (const auto& i : v.items) out.items.push_back(convert(i));
  for (const auto& p : v.pairs) out.pairs.push_back({convert(p.key), convert(p.value)});
  return out;
}

void set_weights(optim::ParamList& params, const TensorMap& file, const std::string& prefix) {
  for (auto& p : params) p.tensor.detach().copy_(file.at(prefix + p.name));
}

}  // namespace

TEST_CASE("state files of Python resume") {
  const json index = load_json(folder() / "trajectory.json");
  const TensorMap inputs = load_safetensors(folder() / "trajectory" / "inputs.safetensors");
  int resumed = 0, compared = 0;
  for (const auto& [name, f] : index.at("state_files").items()) {
    INFO(name);
    const json& c = index.at("cases").at(f.at("case").get<std::string>());
    const TensorMap file = load_safetensors(folder() / c.at("file").get<std::string>());
    GoldenModel model(c.at("params"), inputs, at::kFloat);
    auto optimizer = optim::make_optimizer(golden_options(c), model.params);
    const optim::PyValue tree = convert(io::load_pt_tree(folder() / f.at("file").get<std::string>()));
    const bool sum = name.size() > 4 && name.substr(name.size() - 4) == "_sum";
    const auto remarks = optim::import_python_state(*optimizer, tree, sum ? optim::MuonBuffer::sum : optim::MuonBuffer::automatic, name);
    const bool nameless = f.at("layout").get<std::string>().find("no param_names") != std::string::npos || f["layout"] == "kj" ||
                          name.find("_sum") != std::string::npos;
    CHECK((remarks.size() > 0) == nameless);
    if (f.at("step") == 100) {
      for (const auto& [key, value] : optimizer->state())
        if (const auto it = file.find("state/" + key); it != file.end()) {
          CHECK(max_abs_diff(value.view(it->second.sizes()), it->second) == 0);
          ++compared;
        }
      // Our export reads back into the same state.
      GoldenModel copy(c.at("params"), inputs, at::kFloat);
      auto second = optim::make_optimizer(golden_options(c), copy.params);
      optim::import_python_state(*second, optim::export_python_state(*optimizer), optim::MuonBuffer::automatic, name);
      const auto a = optimizer->state(), b = second->state();
      REQUIRE(a.size() == b.size());
      for (size_t i = 0; i < a.size(); ++i) CHECK(same_bits(a[i].second, b[i].second));
      continue;
    }
    set_weights(model.params, file, "ref/50/");
    for (int64_t t = 51; t <= 100; ++t) {
      set_gradients(model.params, inputs, c, t);
      optimizer->step();
    }
    // Two fp32 runs from one point: the rounding of 50 steps; bf16 products follow the noise.
    const bool bf16 = c.at("orthogonalizer") == "bf16";
    const Relative d = distance(model.params, model.init, file, "ref/100/");
    const double bound = number(c.at("ref_vs_f64_by_step").at("100").at("rel_weight"));
    INFO("distance " << d.weight << ", reference against double " << bound);
    CHECK(d.weight <= (bf16 ? 1.5 * bound : std::max(1e-6, 1.5 * bound)));
    ++resumed;
  }
  CHECK(resumed >= 18);
  CHECK(compared >= 60);
}

TEST_CASE("state of another model is refused and nothing is written") {
  const json index = load_json(folder() / "trajectory.json");
  const TensorMap inputs = load_safetensors(folder() / "trajectory" / "inputs.safetensors");
  const json& c = index.at("cases").at("adamw_ups");
  const auto check = [&](json names, const std::string& file, const std::string& part) {
    GoldenModel model(names, inputs, at::kFloat);
    auto optimizer = optim::make_optimizer(golden_options(c), model.params);
    try {
      optim::import_python_state(*optimizer, convert(io::load_pt_tree(folder() / "state" / file)), optim::MuonBuffer::automatic, file);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::checkpoint);
      CHECK(std::string(e.what()).find(part) != std::string::npos);
    }
    for (const auto& [key, t] : optimizer->state()) CHECK(t.abs().sum().item<double>() == 0);
  };
  json names = c.at("params");
  std::swap(names[0], names[1]);  // same names, other order: found by name; without names the shapes tell
  check(names, "adamw_ups_step50_without_names.pt", "has [24,12], expected [12,24]");
  names.erase(0);
  check(names, "adamw_ups_step50.pt", "unexpected lin.wide.weight");
  check(names, "adamw_ups_step50_without_names.pt", "9 parameters without names, expected 8");
  check(c.at("params"), "sgd_nesterov_wd_step50.pt", "has no exp_avg");
}
