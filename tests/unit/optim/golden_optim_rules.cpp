// Loss scaling, clipping, schedules and weight averages against Python's values.
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#define UPS_TEST_WITH_TORCH
#include "golden_file.h"
#include "test_common.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/grad_scaler.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/schedule.h"

using namespace ups;
using namespace ups::test;
using nlohmann::json;

namespace {

std::filesystem::path folder() { return golden_dir("UPS_OPTIM_GOLDEN_DIR", "optim"); }

// A flat list (numbers or "nan") as fp32, in the shape given by `shapes`.
at::Tensor tensor_of(const json& values, const json& shape) {
  std::vector<double> flat;
  for (const auto& v : values) flat.push_back(number(v));
  return at::tensor(flat, at::TensorOptions().dtype(at::kDouble)).to(at::kFloat).view(shape.get<std::vector<int64_t>>());
}

optim::OptimizerOptions options_of(const json& o) {
  optim::OptimizerOptions out;
  const json& j = o.at("options");
  out.name = o.at("class") == "SGD" ? "sgd" : "adamw";
  out.lr = j.at("lr");
  out.weight_decay = j.value("weight_decay", 0.0);
  out.momentum = j.value("momentum", 0.0);
  return out;
}

// One optimizer of a scenario.
struct Part {
  optim::ParamList params;
  std::unique_ptr<optim::Optimizer> optimizer;
};

void run_scenario(const json& s) {
  INFO("scenario " << s.at("name").get<std::string>());
  optim::GradScalerOptions options;
  options.init_scale = s.at("scaler").at("init_scale");
  options.growth_factor = s["scaler"].at("growth_factor");
  options.backoff_factor = s["scaler"].at("backoff_factor");
  options.growth_interval = s["scaler"].at("growth_interval");
  options.min_scale = 0;  // as Python
  optim::GradScaler scaler(options);
  std::vector<Part> parts;
  for (const auto& o : s.at("optimizers")) {
    Part part;
    for (const std::string name : o.at("params"))
      part.params.push_back({name, tensor_of(s.at("initial_params").at(name), s.at("shapes").at(name)).set_requires_grad(true),
                             optim::Role::hidden});
    part.optimizer = optim::make_optimizer(options_of(o), part.params);
    parts.push_back(std::move(part));
  }
  bool comparable = true;  // false once Python has stepped an optimizer on gradients that the global flag would have masked
  int64_t index = 0;
  for (const auto& row : s.at("steps")) {
    INFO("step " << index++);
    if (s["name"] == "reload" && index == 5) {  // a new scaler from the plain numbers continues in the same state
      const auto state = scaler.state();
      scaler = optim::GradScaler(options);
      scaler.load_state(state);
    }
    const at::Tensor scaled = scaler.scale(at::ones({}));
    CHECK(scaled.item<double>() == number(row.at("scale_before")));
    optim::ParamList all;
    std::vector<TensorMap> before(parts.size());
    for (size_t k = 0; k < parts.size(); ++k)
      for (auto& p : parts[k].params) {
        all.push_back(p);
        before[k][p.name] = p.tensor.detach().clone();
        p.tensor.mutable_grad().reset();
        if (row.at("scaled_grads").contains(p.name) && !row["scaled_grads"][p.name].is_null())
          p.tensor.mutable_grad() = tensor_of(row["scaled_grads"][p.name], s["shapes"][p.name]);
      }
    std::vector<optim::GradPass> passes;
    for (size_t k = 0; k < parts.size(); ++k) passes.push_back(scaler.unscale(std::to_string(k), parts[k].params));
    if (row.contains("grads_after_unscale"))
      for (const auto& p : all)
        if (p.tensor.grad().defined())
          CHECK(max_abs_diff(p.tensor.grad(), tensor_of(row["grads_after_unscale"].at(p.name), s["shapes"][p.name])) <= 1e-6 * 8);
    at::Tensor flag = scaler.found_inf();
    const bool with_clip = !s.at("clip_max_norm").is_null();
    if (with_clip) {
      at::Tensor norm = at::zeros({}, at::kDouble);
      for (const auto& pass : passes) norm = at::sqrt(norm * norm + pass.norm * pass.norm);
      const double expected = number(row.at("total_norm_before_clip"));
      if (std::isfinite(expected)) CHECK(norm.item<double>() == Approx(expected).epsilon(1e-6));
      else CHECK(!std::isfinite(norm.item<double>()));
      optim::clip_(all, norm, number(s["clip_max_norm"]));
    }
    for (size_t k = 0; k < parts.size(); ++k) {
      const at::Tensor own = scaler.step(std::to_string(k));
      CHECK(own.item<double>() == number(row.at("found_inf").at(k)));
      CHECK((own.item<double>() == 0) == row.at("stepped").at(k).get<bool>());
      // Python steps an optimizer whose own flag is 0 on gradients that clipping has ruined; the global flag forbids that.
      if (with_clip && own.item<double>() != flag.item<double>()) comparable = false;
      parts[k].optimizer->step(with_clip ? flag : own);
      for (const auto& p : parts[k].params) {
        if (own.item<double>() == 1) CHECK(same_bits(p.tensor, before[k][p.name]));
        else if (comparable) CHECK(max_abs_diff(p.tensor, tensor_of(row.at("params").at(p.name), s["shapes"][p.name])) <= 1e-6 * 4);
      }
    }
    scaler.update();
    CHECK(scaler.state().scale == number(row.at("scale_after")));
    CHECK(scaler.state().growth_tracker == row.at("growth_tracker_after").get<int64_t>());
  }
  const auto final = scaler.state();
  const json& expected = s.at("final_state_dict");
  CHECK(final.scale == number(expected.at("scale")));
  CHECK(final.growth_tracker == expected.at("_growth_tracker").get<int64_t>());
  CHECK(final.growth_interval == expected.at("growth_interval").get<int64_t>());
}

// The calls of an error case; returns the index of the call that threw, or -1.
int64_t failing_call(const json& calls) {
  optim::GradScaler scaler;
  const at::Tensor w = at::ones({3}).set_requires_grad(true);
  const optim::ParamList params{{"w", w, optim::Role::hidden}};
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string call = calls[i];
    try {
      if (call.rfind("scale", 0) == 0) {
        scaler.scale(at::ones({}));
        w.mutable_grad().reset();
        if (call == "scale") w.mutable_grad() = at::ones({3});
        if (call == "scale_fp16_grad") {
          const at::Tensor half = at::ones({3}, at::kHalf).set_requires_grad(true);
          half.mutable_grad() = at::ones({3}, at::kHalf);
          const optim::ParamList low{{"w", half, optim::Role::hidden}};
          for (size_t k = i + 1; k < calls.size(); ++k) {
            try {
              scaler.unscale("a", low);
            } catch (const std::exception&) {
              return static_cast<int64_t>(k);
            }
          }
        }
      } else if (call == "unscale") {
        scaler.unscale("a", params);
      } else if (call == "step") {
        scaler.step_or_unscale("a", params);
      } else {
        scaler.update();
      }
    } catch (const std::exception&) {
      return static_cast<int64_t>(i);
    }
  }
  return -1;
}

}  // namespace

TEST_CASE("gradient scaler: event tables") {
  const json file = load_json(folder() / "scaler.json");
  REQUIRE(file.at("scenarios").size() >= 15);
  for (const auto& s : file.at("scenarios")) run_scenario(s);
}

TEST_CASE("gradient scaler: calls out of order") {
  const json file = load_json(folder() / "scaler.json");
  REQUIRE(file.at("errors").size() >= 15);
  for (const auto& e : file.at("errors")) {
    INFO(e.dump());
    CHECK(failing_call(e.at("calls")) == (e.at("error").is_null() ? -1 : e["error"].at("at_call").get<int64_t>()));
  }
}

TEST_CASE("clipping by the global norm") {
  const json file = load_json(folder() / "clip.json");
  const TensorMap data = load_safetensors(folder() / "clip.safetensors");
  int compared = 0;
  for (const auto& [name, c] : file.at("cases").items()) {
    if (!c.at("norm_type").is_number()) continue;  // we offer the 2-norm
    INFO(name);
    optim::ParamList params;
    const auto undefined = c.at("undefined").get<std::vector<int64_t>>();
    for (int64_t i = 0; i < c.at("n").get<int64_t>(); ++i) {
      const auto in = data.find(name + "/in/" + std::to_string(i));
      const at::Tensor w = at::zeros(in == data.end() ? at::IntArrayRef{1} : in->second.sizes()).set_requires_grad(true);
      const bool missing = std::find(undefined.begin(), undefined.end(), i) != undefined.end();
      REQUIRE((missing || in != data.end()));
      if (!missing) w.mutable_grad() = in->second.clone();
      params.push_back({std::to_string(i), w, optim::Role::hidden});
    }
    const auto pass = optim::unscale_and_norm(params);
    const double norm = pass.norm.item<double>(), expected = number(c.at("total_norm_f64"));
    if (std::isfinite(expected)) CHECK(norm == Approx(expected).epsilon(1e-12));
    else CHECK(((std::isnan(norm) && std::isnan(expected)) || norm == expected));
    CHECK(pass.found_inf.item<double>() == (std::isfinite(expected) ? 0.0 : 1.0));
    optim::clip_(params, pass.norm, number(c.at("max_norm")));
    for (const auto& p : params) {
      if (!p.tensor.grad().defined()) continue;
      const at::Tensor out = data.at(name + "/out_f64/" + p.name);
      const double scale = at::nan_to_num(out, 0, 0, 0).abs().max().item<double>();
      INFO("tensor " << p.name);
      CHECK(max_abs_diff(p.tensor.grad(), out) <= 3e-7 * scale);
      ++compared;
    }
  }
  CHECK(compared >= 20);
}

TEST_CASE("schedules equal Python's in every bit") {
  const json file = load_json(folder() / "schedules.json");
  int compared = 0;
  for (const auto& c : file.at("chain")) {
    const std::string kind = c.at("scheduler");
    const json& j = c.at("options");
    optim::SchedulerOptions o;
    double tolerance = 0;
    if (kind == "StepLR") {
      o.name = "steplr";
      o.step_size = j.at("step_size");
      o.gamma = j.at("gamma");
    } else if (kind == "CosineAnnealingLR") {
      o.name = "cosineannealinglr";
      o.t_max = j.at("T_max");
      o.eta_min = j.at("eta_min");
    } else if (kind == "LinearLR" && j.at("start_factor") == 1.0) {
      o.name = "linear";
      o.end_factor = j.at("end_factor");
      o.total_steps = j.at("total_iters");
      tolerance = 1e-14;  // Python chains quotients
    } else {
      continue;  // Python's other warm-ups start from another fraction
    }
    INFO(c.at("name").get<std::string>());
    for (size_t g = 0; g < c.at("bases").size(); ++g) {
      const double base = c["bases"][g];
      optim::LrSequence sequence(o, base, 1000);
      for (size_t i = 0; i < c.at("lr").size(); ++i) {
        const double expected = c["lr"][i][g], got = optim::lr_at(o, base, static_cast<int64_t>(i), 1000);
        CHECK(std::abs(got - expected) <= tolerance * base);
        CHECK(sequence.at(static_cast<int64_t>(i)) == got);
        ++compared;
      }
    }
  }
  for (const auto& c : file.at("formulas")) {
    const std::string name = c.at("name");
    const json& j = c.at("options");
    optim::SchedulerOptions o;
    o.name = name == "formula_warmup" ? "constant" : name == "formula_warmup_cosine" ? "warmup_cosine" : name == "formula_linear" ? "linear" : "wsd";
    o.warmup_steps = j.value("W", 0);
    o.total_steps = j.value("N", 0);
    o.eta_min = j.value("eta_min", 0.0);
    o.end_factor = j.value("end_factor", 0.0);
    o.decay_steps = j.value("D", 0);
    o.final_factor = j.value("final_factor", 0.0);
    o.decay_shape = j.value("decay", "linear") == "linear" ? "linear" : "sqrt";
    INFO(name);
    for (size_t i = 0; i < c.at("lr").size(); ++i) {
      const double expected = c["lr"][i][0];
      CHECK(optim::lr_at(o, c["bases"][0], static_cast<int64_t>(i), 0) == Approx(expected).epsilon(1e-15 * 4).margin(1e-18));
      ++compared;
    }
  }
  CHECK(compared > 1500);
}

TEST_CASE("steplr by a fraction of the length decays where the step size in intervals does") {
  optim::SchedulerOptions steps, share;
  steps.name = share.name = "steplr";
  steps.step_size = 20;
  share.step_fraction = 0.2;
  optim::LrSequence a(steps, 0.3, 100), b(share, 0.3, 100);
  for (int64_t i = 0; i < 100; ++i) CHECK(a.at(i) == b.at(i));
  CHECK(optim::lr_at(share, 1, 3, 4) == 0.125);  // one interval at least
}

TEST_CASE("plateau equals Python's in every bit") {
  const json file = load_json(folder() / "plateau.json");
  REQUIRE(file.at("cases").size() >= 20);
  for (const auto& c : file.at("cases")) {
    INFO(c.at("name").get<std::string>());
    const json& j = c.at("options");
    optim::SchedulerOptions o;
    o.name = "reducelronplateau";
    o.mode = j.at("mode");
    o.factor = j.at("factor");
    o.patience = j.at("patience");
    o.threshold = j.at("threshold");
    o.threshold_mode = j.at("threshold_mode");
    o.cooldown = j.at("cooldown");
    if (!j.at("min_lr").is_number()) continue;  // one floor per group: not offered
    o.min_lr = j["min_lr"];
    o.eps = j.at("eps");
    optim::Plateau plateau(o, c.at("bases").get<std::vector<double>>());
    for (size_t i = 0; i < c.at("metric").size(); ++i) {
      plateau.observe(number(c["metric"][i]));
      if (i == 7) {  // state survives a restart
        const auto state = plateau.state();
        plateau = optim::Plateau(o, c["bases"].get<std::vector<double>>());
        plateau.load_state(state);
      }
      CHECK(plateau.lrs() == c["lr_after"][i].get<std::vector<double>>());
      CHECK(plateau.state().bad == c["bad_after"][i].get<int64_t>());
      CHECK(plateau.state().best == number(c["best_after"][i]));
      CHECK(plateau.state().cooldown == c["cooldown_after"][i].get<int64_t>());
    }
  }
}

TEST_CASE("weight averages") {
  const json file = load_json(folder() / "ema.json");
  const TensorMap data = load_safetensors(folder() / "ema.safetensors");
  int compared = 0;
  for (const auto& [name, c] : file.at("cases").items()) {
    const std::string mode = c.at("mode");
    if (mode == "warmup_from_1") continue;  // the other reading of the count; decision 4 has n from 0
    INFO(name);
    const auto masked = c.at("masked_steps").get<std::vector<int64_t>>();
    std::vector<std::pair<std::string, at::Tensor>> params;
    for (const char* key : {"w", "b"})
      params.emplace_back(key, data.at(std::string("weights/") + key).select(0, 0).clone().set_requires_grad(true));
    optim::Ema ema({c.at("decay").get<double>(), mode != "constant"}, params);
    const int64_t steps = data.at("weights/w").size(0) - 1;
    for (int64_t t = 1; t <= steps; ++t) {
      for (auto& [key, p] : params) p.detach().copy_(data.at("weights/" + key).select(0, t));
      const bool skip = std::find(masked.begin(), masked.end(), t) != masked.end();
      const auto before = ema.state();
      std::vector<at::Tensor> kept;
      for (const auto& [key, e] : before) kept.push_back(e.clone());
      if (skip) params[0].second.detach().fill_(std::numeric_limits<float>::quiet_NaN());
      ema.update(at::full({}, skip ? 1.f : 0.f));
      const auto after = ema.state();
      for (size_t i = 0; i < after.size(); ++i) {
        if (skip) CHECK(same_bits(after[i].second, kept[i]));
        const auto it = data.find(name + "_f64/" + std::to_string(t) + "/" + after[i].first);
        if (it == data.end()) continue;
        CHECK(max_abs_diff(after[i].second, it->second) <= 5e-7 * it->second.abs().max().item<double>());
        ++compared;
      }
    }
    CHECK(ema.count().item<double>() == static_cast<double>(c.at("decay_used").size()));
  }
  CHECK(compared >= 40);
}
