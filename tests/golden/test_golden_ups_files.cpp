// State files of the bundles as Python wrote them: .pt equals .safetensors, torch.compile's key prefix included.
#include <ATen/ATen.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/io/torch_file.h"
#include "ups_bundle.h"

namespace ups::test {

TEST_CASE("golden .pt state files load and equal the safetensors states") {
  const std::filesystem::path dir = golden_dir("UPS_GOLDEN_DIR", "ups");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    const bool prefixed = name.ends_with(".compiled_prefix.pt");
    if (!prefixed && !name.ends_with(".state.pt")) continue;
    INFO(name);
    ++files;
    const TensorMap want = load_safetensors(dir / (name.substr(0, name.find('.')) + ".state.safetensors"));
    const auto got = io::load_pt(entry.path());
    CHECK(got.size() == want.size());
    for (const auto& [key, value] : got) {
      INFO(key);
      REQUIRE(want.count(key) == 1);
      CHECK(same_bits(value, want.at(key)));
    }
  }
  CHECK(files >= 2);
}

}  // namespace ups::test
