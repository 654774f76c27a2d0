// Integration: PyTorch reads our files and we read its. Skipped with a notice where torch for Python is not installed.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <sys/wait.h>

#include <cstdlib>
#include <iostream>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/io/torch_file.h"

using namespace ups;
using io::PtValue;
namespace fs = std::filesystem;

TEST_CASE("PyTorch and we read each other's files") {
  test::TempDir dir;
  const io::NamedTensors state{{"w", at::arange(6, at::kFloat).reshape({2, 3}).t()},
                               {"h", at::tensor({1.5f, -2.f}).to(at::kBFloat16)},
                               {"i", at::tensor({int64_t{-7}})},
                               {"flags", at::arange(2).eq(0)},
                               {"scalar", at::scalar_tensor(2.5, at::kDouble)},
                               {"none", at::empty({0, 3})}};
  io::save_pt(dir / "state.pt", state);
  io::save_safetensors(dir / "state.safetensors", state, {{"format", "pt"}});

  PtValue slot = PtValue::make_dict(), slots = PtValue::make_dict(), tree = PtValue::make_dict();
  slot.set("step", PtValue::of_tensor(at::scalar_tensor(3.f)));
  slots.set(0, slot);
  tree.set("epoch", PtValue::of_int(3))
      .set("lr", PtValue::of_real(1e-3))
      .set("name", PtValue::of_text("a\xc3\xa9"))
      .set("none", PtValue());
  tree.set("flag", PtValue::of_bool(true))
      .set("betas", PtValue::make_tuple({PtValue::of_real(0.9), PtValue::of_real(0.95)}));
  tree.set("list", PtValue::make_list({PtValue::of_int(1), PtValue::of_text("x"), PtValue::make_list()}))
      .set("big", PtValue::of_int(-5'000'000'000));
  tree.set("state", slots);
  io::save_pt_tree(dir / "tree.pt", tree);

  PtValue adam = PtValue::make_dict(), adam_state = PtValue::make_dict(), group = PtValue::make_dict(),
          optim = PtValue::make_dict();
  adam.set("step", PtValue::of_tensor(at::scalar_tensor(3.f)))
      .set("exp_avg", PtValue::of_tensor(at::arange(6, at::kFloat).reshape({2, 3})));
  adam.set("exp_avg_sq", PtValue::of_tensor(at::ones({2, 3})));
  adam_state.set(0, adam);
  group.set("lr", PtValue::of_real(0.25))
      .set("betas", PtValue::make_tuple({PtValue::of_real(0.9), PtValue::of_real(0.999)}))
      .set("eps", PtValue::of_real(1e-8));
  group.set("weight_decay", PtValue::of_real(0.01))
      .set("amsgrad", PtValue::of_bool(false))
      .set("maximize", PtValue::of_bool(false));
  group.set("foreach", PtValue())
      .set("capturable", PtValue::of_bool(false))
      .set("differentiable", PtValue::of_bool(false))
      .set("fused", PtValue());
  group.set("params", PtValue::make_list({PtValue::of_int(0)}));
  optim.set("state", adam_state).set("param_groups", PtValue::make_list({group}));
  io::save_pt_tree(dir / "optim.pt", optim);

  std::error_code ec;  // the wheel that we link: its folder also holds what scripts/setup.sh --with-python installed
  std::string path =
      fs::canonical(UPS_SOURCE_DIR "/.deps/libtorch", ec).parent_path().string() + ":" UPS_SOURCE_DIR "/.deps/python";
  if (const char* extra = std::getenv("UPS_TEST_PYTHONPATH")) path += std::string(":") + extra;
  const std::string command = "PYTHONPATH='" + path +
                              "' OMP_NUM_THREADS=1 python3 -W ignore '" UPS_SOURCE_DIR
                              "/tests/unit/io/check_interchange.py' '" +
                              dir.path().string() + "'";
  const int status = std::system(command.c_str());
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
    std::cout << "skipped: no Python with torch\n";
    return;
  }
  REQUIRE(status == 0);
  const auto back = io::load_pt(dir / "back.pt");
  REQUIRE(back.size() == 2);
  CHECK(at::equal(back[0].second, state[0].second));
  CHECK(back[1].second.scalar_type() == at::kBFloat16);
  CHECK(io::load_pt(dir / "sd.pt").size() == 7);
  CHECK(io::load_pt_tree(dir / "param.pt").is(PtValue::Kind::tensor));
}
