// The fused kernels of the reference operator against its plain formulas, every instruction set, and the fall-backs.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/models/reference/block_kernels.h"
#include "ups/models/reference/fused_block.h"
#include "ups/models/reference/losses.h"

using at::Tensor;
namespace ref = ups::models::reference;

namespace {

double max_abs(const Tensor& t) { return t.numel() ? t.abs().max().item<double>() : 0.0; }

struct Sizes {
  int64_t batch, tokens, width, group, heads;
  double mlp_ratio;
};

ref::BlockConfig block_config(const Sizes& s) {
  ref::BlockConfig c;
  c.hidden_dim = s.width;
  c.group_size = s.group;
  c.num_heads = s.heads;
  c.mlp_ratio = s.mlp_ratio;
  return c;
}

// Norm weights and biases away from 1 and 0, so that nothing is trivially right.
void perturb(ups::models::Module& m) {
  const c10::NoGradGuard no_grad;
  for (const auto& p : m.parameters()) {
    if (p.tensor.dim() == 1) p.tensor.add_(ups::models::normal_init(p.tensor.sizes(), 0.1, 5, p.name).to(p.tensor.scalar_type()));
  }
}

const Sizes kSizes[] = {{2, 32, 96, 12, 6, 2.0}, {3, 13, 24, 8, 2, 1.55}, {1, 1, 12, 12, 12, 1.0}, {2, 33, 20, 5, 1, 1.3},
                        {2, 7, 18, 9, 3, 2.0},   {1, 65, 16, 16, 4, 2.0}, {4, 8, 32, 32, 2, 0.6}};

// Outputs and all gradients of one block by a path, in the dtype of x.
std::vector<Tensor> run(const ref::Block& block, const Tensor& x, const Tensor& weight, bool fused) {
  for (const auto& p : block.parameters()) p.tensor.mutable_grad() = Tensor();
  const Tensor leaf = x.detach().clone().set_requires_grad(true);
  const Tensor y = fused ? ref::fused_block(block, leaf) : block.plain(leaf);
  (y * weight).sum().backward();
  std::vector<Tensor> out{y.detach(), leaf.grad()};
  for (const auto& p : block.parameters()) out.push_back(p.tensor.grad().clone());
  return out;
}

}  // namespace

TEST_CASE("the fused block equals the plain block in value and gradient") {
  for (const Sizes& s : kSizes) {
    INFO("tokens " << s.tokens << " width " << s.width << " group " << s.group << " heads " << s.heads);
    ref::Block block(block_config(s), {7, "block"});
    perturb(block);
    const Tensor x = ups::models::normal_init({s.batch, s.tokens, s.width}, 1.5, 3, "x");
    const Tensor weight = ups::models::normal_init({s.batch, s.tokens, s.width}, 1.0, 4, "weight");
    REQUIRE(ref::can_fuse(block, x));
    const auto fused = run(block, x, weight, true), plain = run(block, x, weight, false);
    // Float64 is the judge: the fused path may be as wrong as the plain one, not more than rounding.
    block.to(at::kDouble);
    const auto exact = run(block, x.to(at::kDouble), weight.to(at::kDouble), false);
    const auto params = block.parameters();
    double largest = 0;
    for (size_t i = 2; i < exact.size(); ++i) largest = std::max(largest, max_abs(exact[i]));
    for (size_t i = 0; i < exact.size(); ++i) {
      INFO((i == 0 ? "value" : i == 1 ? "grad x" : params[i - 2].name));
      const double bound = i < 2 ? 2e-6 * max_abs(exact[i]) : 2e-6 * max_abs(exact[i]) + 1e-6 * largest;
      CHECK(max_abs(fused[i] - plain[i]) <= bound);
      CHECK(max_abs(fused[i].to(at::kDouble) - exact[i]) <= bound);
    }
  }
}

TEST_CASE("large and tiny activations stay finite and right in the fused block") {
  const Sizes s = kSizes[0];
  for (const double scale : {1e-6, 1e3}) {
    INFO("scale " << scale);
    ref::Block block(block_config(s), {7, "block"});
    {
      const c10::NoGradGuard no_grad;
      for (const auto& p : block.parameters()) {
        if (p.name.find("q_proj.weight") != std::string::npos) p.tensor.mul_(50);  // peaked softmax
      }
    }
    const Tensor x = ups::models::normal_init({s.batch, s.tokens, s.width}, scale, 3, "x");
    const Tensor weight = ups::models::normal_init(x.sizes(), 1.0, 4, "weight");
    const auto fused = run(block, x, weight, true), plain = run(block, x, weight, false);
    block.to(at::kDouble);
    const auto exact = run(block, x.to(at::kDouble), weight.to(at::kDouble), false);
    for (size_t i = 0; i < 2; ++i) {  // ill-conditioned: no worse than the plain formulas
      CHECK(at::isfinite(fused[i]).all().item<bool>());
      const double plain_error = max_abs(plain[i].to(at::kDouble) - exact[i]);
      CHECK(max_abs(fused[i].to(at::kDouble) - exact[i]) <= 3 * plain_error + 2e-6 * max_abs(exact[i]));
    }
  }
}

TEST_CASE("kernels of every instruction set agree") {
  int count = 0;
  const ref::BlockKernels* const* variants = ref::block_kernel_variants(count);
  REQUIRE(count >= 1);
  for (const Sizes& s : kSizes) {
    const ref::AttentionShape shape{s.batch, s.tokens, s.width, s.group, s.heads};
    ref::GroupAttention attn(block_config(s), {9, "attn"});
    ref::LayerNorm norm(s.width);
    perturb(norm);
    perturb(attn);
    const Tensor x = ups::models::normal_init({s.batch, s.tokens, s.width}, 1.0, 3, "x"), g = ups::models::normal_init(x.sizes(), 1, 4, "g");
    const auto c = [](const Tensor& t) { return t.const_data_ptr<float>(); };
    const ref::AttentionTensors<const float> w{c(norm.weight()),          c(norm.bias()),          c(attn.q_proj.weight()),
                                               c(attn.q_proj.bias()),     c(attn.k_proj.weight()), c(attn.k_proj.bias()),
                                               c(attn.v_proj.weight()),   c(attn.v_proj.bias()),   c(attn.out_proj.weight()),
                                               c(attn.out_proj.bias()),   c(attn.q_norm.weight()), c(attn.k_norm.weight())};
    const Tensor plain = (x + attn(norm(x))).detach();
    std::vector<Tensor> first;
    for (int i = 0; i < count; ++i) {
      const ref::BlockKernels& k = *variants[i];
      INFO(k.name << " tokens " << s.tokens << " width " << s.width << " group " << s.group);
      // Exact sizes, so that a sanitizer sees writes beyond what the kernels ask for.
      const Tensor saved = at::empty({k.saved_floats(shape)}), scratch = at::empty({k.scratch_floats(shape)});
      Tensor out = at::empty_like(x), grad_x = at::empty_like(x);
      std::vector<Tensor> grads;
      for (const Tensor& t : {norm.weight(), norm.bias(), attn.q_proj.weight(), attn.q_proj.bias(), attn.k_proj.weight(),
                              attn.k_proj.bias(), attn.v_proj.weight(), attn.v_proj.bias(), attn.out_proj.weight(), attn.out_proj.bias(),
                              attn.q_norm.weight(), attn.k_norm.weight()}) {
        grads.push_back(at::empty_like(t.detach()));
      }
      const auto m = [&](size_t j) { return grads[j].mutable_data_ptr<float>(); };
      k.attention_forward(shape, c(x), w, out.mutable_data_ptr<float>(), saved.mutable_data_ptr<float>(), scratch.mutable_data_ptr<float>());
      k.attention_backward(shape, c(x), w, c(saved), c(g), grad_x.mutable_data_ptr<float>(),
                           {m(0), m(1), m(2), m(3), m(4), m(5), m(6), m(7), m(8), m(9), m(10), m(11)}, scratch.mutable_data_ptr<float>());
      CHECK(max_abs(out - plain) <= 2e-6 * max_abs(plain));
      grads.push_back(grad_x);
      if (i == 0) first = grads;
      double largest = 0;
      for (const Tensor& t : first) largest = std::max(largest, max_abs(t));
      for (size_t j = 0; j < grads.size(); ++j) CHECK(max_abs(grads[j] - first[j]) <= 2e-6 * max_abs(first[j]) + 1e-6 * largest);
    }
  }
}

TEST_CASE("the fused path steps aside where it does not apply") {
  ref::Block block(block_config(kSizes[0]), {7, "block"});
  const Tensor x = at::ones({1, 4, 96});
  CHECK(ref::can_fuse(block, x));
  CHECK_FALSE(ref::can_fuse(block, x.to(at::kDouble)));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  CHECK_FALSE(ref::can_fuse(block, x));
  at::autocast::set_autocast_enabled(at::kCPU, false);
  const Tensor strided = ups::models::normal_init({1, 96, 4}, 1, 1, "s").transpose(1, 2);  // not contiguous
  CHECK(max_abs(ref::fused_block(block, strided) - block.plain(strided)) <= 1e-5);
  block.set_requires_grad(false);
  CHECK_FALSE(ref::fused_block(block, x).requires_grad());
}

TEST_CASE("operators are reproducible, start neutral and refuse impossible sizes") {
  ref::LatentOperatorConfig config;
  config.conditioning = ref::ConditioningConfig{8, {{"param_nu", 1}}};
  ref::LatentOperator a(config, 3), b(config, 3), other(config, 4);
  const auto pa = a.parameters(), pb = b.parameters(), po = other.parameters();
  bool differs = false;
  for (size_t i = 0; i < pa.size(); ++i) {
    CHECK(at::equal(pa[i].tensor, pb[i].tensor));
    differs = differs || !at::equal(pa[i].tensor, po[i].tensor);
    if (pa[i].name.find("conditioner.embedders.param_nu.2") == 0) CHECK(max_abs(pa[i].tensor) == 0.0);
  }
  CHECK(differs);
  config.group_size = 7;
  CHECK_THROWS_AS(ref::LatentOperator(config, 1), ups::Error);
  config.group_size = 12;
  config.num_heads = 5;
  CHECK_THROWS_AS(ref::LatentOperator(config, 1), ups::Error);
  config.depths.clear();
  CHECK_THROWS_AS(ref::LatentOperator(config, 1), ups::Error);
}
