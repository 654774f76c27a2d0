// Linear advection u_t + beta u_x = 0 on (0,1), periodic: the initial formula, shifted.
#include <cmath>

#include "ups/data/generators/generators.h"
#include "ups/data/generators/initial_field.h"

namespace ups::data {
namespace {

class Advection1d : public Generator {
 public:
  explicit Advection1d(const GenerateSettings& settings) : settings_(settings) {}
  int64_t block_size() const override { return 1; }
  std::vector<double> x() const override { return strided_centres(settings_); }
  std::string scheme() const override { return "closed form u0((x - beta t) mod 1)"; }
  double measure_tolerance() override { return 0; }  // exact up to rounding

  std::vector<Sample> block(uint64_t index) override {
    RandomStream random = sample_stream(settings_, index);
    const InitialField field = draw_initial_field(random, settings_.ic);
    Sample s;
    for (int64_t t = 0; t < settings_.frames; ++t) {
      const double shift = settings_.param("beta") * (static_cast<double>(t) * settings_.save_every);
      for (const double p : x()) s.frames.push_back(field(p - shift));
    }
    return {std::move(s)};
  }

 private:
  GenerateSettings settings_;
};

}  // namespace

GeneratorInfo advection1d_info() {
  GeneratorInfo g;
  g.name = "advection1d";
  g.summary = "linear advection in one dimension: the field moves without changing";
  g.equation = "u_t + beta u_x = 0 on (0,1)";
  g.boundary = "periodic";
  g.layout = Layout::pdebench;
  g.params = {{"beta", "beta", "speed", 1, -10, 10}};
  g.ics = {"f1", "smooth"};
  g.ic_doc = "f1: random sines, some with |.| or a window; smooth: random sines only";
  g.nx = 1024;
  g.nx_min = 8;
  g.nx_max = 8192;
  g.power_of_two = false;
  g.base_nx = 1024;
  g.t_end = 2;
  g.save_every = 0.01;
  g.channels = {"u"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<Advection1d>(s); };
  return g;
}

}  // namespace ups::data
