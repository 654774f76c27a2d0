// What `ups-data inspect` prints.
#include <cmath>
#include <nlohmann/json.hpp>

#include "data_test.h"
#include "test_common.h"
#include "ups/data/inspect.h"

using namespace ups;
using namespace ups::test;

TEST_CASE("inspect: json and text") {
  const TempDir dir;
  const std::string file = dir.file("1D_Burgers_Sols_Nu0.01.hdf5");
  H5Store how;
  how.chunk = {2, 5, 16};
  how.shuffle = how.lzf = true;
  make_burgers(file, 6, 5, 16, 0.01, how);
  {
    // Attributes are shown escaped, never interpreted.
    MakeH5 f(dir.file("evil_burgers.h5"));
    f.dataset("/tensor", {4, 2, 8}, [](int64_t k) { return static_cast<float>(k); });
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {3}, times(2, 0.1));
    f.text("/", "config", "a: \x1b[31mred\n", true);
  }
  data::InspectOptions options;
  options.stats = 2;
  const auto j = nlohmann::json::parse(data::inspect_json(file, options));
  CHECK(j["format"] == "pdebench");
  CHECK(j["family"] == "burgers1d");
  CHECK(j["trajectories"] == 6);
  CHECK(j["grid"] == std::vector<int>{16});
  CHECK(j["params"]["nu"] == Approx(0.01));
  CHECK(j["time"]["dt"] == Approx(0.05));
  CHECK(j["boundary"][0] == "periodic");
  CHECK(j["stats"]["channels"][0]["min"] == 0);
  CHECK(j["stats"]["channels"][0]["max"] == value_of(1, 4, 0, 15));
  bool found = false;
  for (const auto& d : j["datasets"]) found = found || (d["path"] == "/tensor" && d["filters"] == std::vector<std::string>{"shuffle", "lzf"});
  CHECK(found);
  const std::string text = data::inspect_text(file);
  CHECK(contains(text, "pdebench of burgers1d"));
  CHECK_FALSE(contains(text, "stats"));
  options = {};
  options.attrs = true;
  const std::string evil = data::inspect_text(dir.file("evil_burgers.h5"), options);
  CHECK(contains(evil, "\\x1B[31mred"));
  CHECK(evil.find('\x1b') == std::string::npos);
}
