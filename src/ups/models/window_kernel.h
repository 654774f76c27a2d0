// Cosine attention inside small windows as one pair of loops; the plain form in window_attention.cpp is the oracle.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::models::fused {

// qkv [R, W, 3, H, E] (R windows, W tokens each, H heads of E features), scale [H] multiplies the normalised logits,
// bias [H, W, W] is added, mask [M, W, W] or undefined: row r uses mask[r / (R / M)]. Returns [R, W, H * E].
at::Tensor window_attention(const at::Tensor& qkv, const at::Tensor& scale, const at::Tensor& bias, const at::Tensor& mask);

}  // namespace ups::models::fused
