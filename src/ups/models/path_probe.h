// What each path of a PDE-Transformer contributes: while a probe is installed on this thread, networks run unfused, add up the size of
// every path's output and leave out the paths that it names.
#pragma once
#include <map>
#include <set>
#include <string>

#include <ATen/core/Tensor.h>

namespace ups::models {

struct PathProbe {
  std::set<std::string> left_out;           // "conv", "spectral", "transport", "attention", "channels", "mlp", "linear_path"
  std::map<std::string, double> size;       // per path: sum of ||output|| over blocks and calls

  // Installed from construction to destruction of the scope; scopes do not nest.
  class Scope {
   public:
    explicit Scope(PathProbe& probe);
    ~Scope();
    Scope(const Scope&) = delete;
  };
  static PathProbe* current();  // of this thread; null outside a scope
  // The path's output, recorded, or zeros if it is left out.
  at::Tensor pass(const std::string& path, const at::Tensor& output);
};

// output, or what the installed probe makes of it.
at::Tensor probed(const char* path, const at::Tensor& output);

}  // namespace ups::models
