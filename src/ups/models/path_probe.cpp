#include "ups/models/path_probe.h"

#include <ATen/ATen.h>

#include <cassert>

namespace ups::models {
namespace {
thread_local PathProbe* installed = nullptr;
}

PathProbe::Scope::Scope(PathProbe& probe) {
  assert(!installed);
  installed = &probe;
}
PathProbe::Scope::~Scope() { installed = nullptr; }

PathProbe* PathProbe::current() { return installed; }

at::Tensor PathProbe::pass(const std::string& path, const at::Tensor& output) {
  size[path] += output.norm().item<double>();
  return left_out.count(path) ? at::zeros_like(output) : output;
}

at::Tensor probed(const char* path, const at::Tensor& output) { return installed ? installed->pass(path, output) : output; }

}  // namespace ups::models
