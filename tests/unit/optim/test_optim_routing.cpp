// Which parameter goes where, and the options behind it.
#include <ATen/ATen.h>

#include <set>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/routing.h"

using namespace ups;
using namespace ups::optim;

namespace {

Param param(const std::string& name, at::IntArrayRef shape, Role role = Role::hidden) {
  return {name, at::ones(shape).set_requires_grad(true), role};
}

std::vector<std::string> names(const std::vector<Route>& routes, const ParamList& params, Family family) {
  std::vector<std::string> out;
  for (const auto& r : routes)
    if (r.family == family) out.push_back(params[r.param].name);
  return out;
}

OptimizerOptions hybrid() {
  OptimizerOptions o;
  o.name = "muon_hybrid";
  return o;
}

std::string message(const OptimizerOptions& o, const ParamList& params) {
  try {
    make_optimizer(o, params);
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    return e.line();
  }
  return "accepted";
}

// The shapes of the UPS operator (optim.md 10, census ups96).
ParamList ups_operator() {
  ParamList p;
  int n = 0;
  const auto add = [&](int count, at::IntArrayRef shape, Role role = Role::hidden) {
    for (int i = 0; i < count; ++i) p.push_back(param("p" + std::to_string(n++), shape, role));
  };
  add(5, {192, 96});
  add(5, {96, 192});
  add(4, {96, 96});
  add(20, {12, 12});
  add(1, {96, 16}, Role::input);
  add(1, {16, 96}, Role::output);
  add(1, {64, 64});
  add(1, {16, 64});
  add(1, {64, 1});
  add(32, {96});
  add(5, {192});
  add(30, {12});
  add(2, {64});
  add(4, {16});
  return p;
}

}  // namespace

TEST_CASE("the UPS operator goes to Muon with more than 90 percent of its numbers") {
  const auto params = ups_operator();
  REQUIRE(params.size() == 112);
  const auto routes = route(hybrid(), params);
  CHECK(names(routes, params, Family::muon).size() == 36);
  CHECK(names(routes, params, Family::adamw).size() == 76);
  CHECK(routing_summary(routes, params) ==
        "Muon 36 tensors 229,184 (96.7 %) | AdamW 76 tensors 7,720: 2 role, 1 effective rank, 73 rank < 2");
}

TEST_CASE("a residual network with stem, LayerScale and depthwise convolution: exact lists") {
  const ParamList params{param("stem.weight", {64, 3, 7, 7}, Role::input),
                         param("block.conv1.weight", {64, 64, 3, 3}),
                         param("block.conv2.weight", {64, 64, 1, 1}),
                         param("block.depthwise.weight", {64, 1, 7, 7}, Role::depthwise),
                         param("block.gamma", {64, 1, 1}),
                         param("block.norm.weight", {64}),
                         param("embed.weight", {10, 64}, Role::embedding),
                         param("spectral.weight", {4, 8, 16}, Role::stack),
                         param("head.weight", {10, 64}, Role::output)};
  auto o = hybrid();
  using List = std::vector<std::string>;
  CHECK(names(route(o, params), params, Family::muon) == List{"block.conv1.weight", "block.conv2.weight", "spectral.weight"});
  o.include = {"head.*"};
  o.exclude = {"*conv2*"};
  CHECK(names(route(o, params), params, Family::muon) == List{"block.conv1.weight", "spectral.weight", "head.weight"});
  o = hybrid();
  o.include_all = true;
  CHECK(names(route(o, params), params, Family::adamw) == List{"block.norm.weight"});
}

TEST_CASE("frozen, shared and complex parameters") {
  Param frozen = param("frozen", {4, 4});
  frozen.tensor.set_requires_grad(false);
  Param a = param("a", {4, 4}), b = a;
  b.name = "tied";
  Param c{"spectral", at::ones({3, 4, 4}, at::kComplexFloat).set_requires_grad(true), Role::hidden};
  const ParamList params{frozen, a, b, c};
  auto routes = route(hybrid(), params);
  REQUIRE(routes.size() == 2);
  CHECK(names(routes, params, Family::muon) == std::vector<std::string>{"a"});
  CHECK(routes[1].reason == Reason::complex_values);
  auto o = hybrid();
  o.muon_split["spectral"].modes = true;
  routes = route(o, params);
  CHECK(names(routes, params, Family::muon) == std::vector<std::string>{"a", "spectral"});
  for (const char* name : {"adam", "adamw", "sgd", "muon"}) {
    o = {};
    o.name = name;
    CHECK(make_optimizer(o, params)->params().size() == 2);
  }
}

TEST_CASE("the table names every parameter, its family, the reason and the share") {
  Param tied = param("layers.0.attn.weight", {4, 4}), frozen = param("codebook", {2, 2});
  const ParamList params{tied,
                         {"tied", tied.tensor, Role::hidden},
                         param("layers.1.attn.weight", {4, 4}),
                         param("layers.0.qkv.weight", {6, 2}),
                         param("head.weight", {2, 8}, Role::output),
                         param("layers.0.bias", {4}),
                         frozen};
  frozen.tensor.set_requires_grad(false);
  auto o = hybrid();
  o.muon_split["*.qkv.weight"].rows = {2, 4};
  CHECK(routing_table(o, params) ==
        "Muon   matrix                   2 x [4, 4]          32  50.0 %  layers.*.attn.weight\n"
        "Muon   matrix, rows 2+4         1 x [6, 2]          12  18.8 %  layers.*.qkv.weight\n"
        "AdamW  role output              1 x [2, 8]          16  25.0 %  head.weight\n"
        "AdamW  rank < 2                 1 x [4]              4   6.2 %  layers.*.bias\n"
        "-      shared, counted once     1 x [4, 4]           0   0.0 %  tied\n"
        "-      frozen                   1 x [2, 2]           0   0.0 %  codebook");
  o = {};
  o.name = "sgd";
  CHECK(routing_table(o, {params[5], params[6]}) ==
        "SGD    all        1 x [4]              4 100.0 %  layers.*.bias\n"
        "-      frozen     1 x [2, 2]           0   0.0 %  codebook");
}

TEST_CASE("impossible routing is explained") {
  const ParamList params{param("mlp.weight", {6, 4}), param("mlp.bias", {6})};
  auto o = hybrid();
  o.include = {"mlp.wieght"};
  CHECK(message(o, params).find("pattern 'mlp.wieght' matches none of the 2 parameters; did you mean 'mlp.weight'?") != std::string::npos);
  o = hybrid();
  o.include = {"*.bias"};
  CHECK(message(o, params).find("'mlp.bias' has no two axes longer than 1") != std::string::npos);
  o = hybrid();
  o.muon_split["mlp.weight"].rows = {2, 3};
  CHECK(message(o, params).find("blocks add up to 5 of 6 rows") != std::string::npos);
  o = hybrid();
  o.muon_split["mlp.weight"].heads = 4;
  CHECK(message(o, params).find("6 rows do not divide into 4 heads") != std::string::npos);
  o = hybrid();
  o.muon_split["mlp.weight"].heads = 2;
  o.muon_split["mlp.*"].heads = 3;
  CHECK(message(o, params).find("both match mlp.weight") != std::string::npos);
  o = {};
  o.betas = {0.9};
  CHECK(message(o, params).find("optimizer.betas: has 1 numbers") != std::string::npos);
  o = {};
  o.name = "sgd";
  o.nesterov = true;
  o.momentum = 0;
  CHECK(message(o, params).find("needs momentum > 0") != std::string::npos);
}

TEST_CASE("globs") {
  CHECK(glob_match("*", ""));
  CHECK(glob_match("a.*.weight", "a.b.c.weight"));
  CHECK(glob_match("*attn*", "x.attn.q"));
  CHECK(glob_match("a?c", "abc"));
  CHECK(!glob_match("a?c", "ac"));
  CHECK(!glob_match("attn", "x.attn"));
  CHECK(glob_match("**b", "aab"));
  CHECK(!glob_match("*.weight", "weight"));
}

TEST_CASE("keys that a family does not use are known") {
  OptimizerOptions o;
  o.name = "sgd";
  CHECK(!uses_key(o, "betas"));
  CHECK(uses_key(o, "momentum"));
  o.name = "adamw";
  CHECK(!uses_key(o, "muon_lr"));
  CHECK(uses_key(o, "eps"));
  o.name = "muon";
  CHECK(uses_key(o, "muon_lr"));
  CHECK(uses_key(o, "betas"));
  CHECK(!uses_key(o, "momentum"));
}
