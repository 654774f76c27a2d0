#include <fmt/format.h>

#include "ups/core/text.h"
#include "ups/data/generators/generator.h"

namespace ups::data {

std::string describe_generators() {
  std::string text = "Generators (exact definitions in docs/data.md):\n";
  const std::string indent(15, ' ');
  for (const GeneratorInfo& g : generator_table()) {
    text += fmt::format("  {:<12} {}\n{}{}\n", g.name, g.summary, indent, g.equation);
    for (const ParamInfo& p : g.params) {
      text += fmt::format("{}--param {}={}  {}; {} to {}\n", indent, p.name, p.value, p.doc, p.min, p.max);
    }
    if (g.ics.size() > 1) text += fmt::format("{}--ic {}  {}\n", indent, join(g.ics, " | "), g.ic_doc);
    text += fmt::format("{}defaults: --nx {}", indent, g.nx);
    if (g.t_end > 0) text += fmt::format(" --t-end {} --save-every {}", g.t_end, g.save_every);
    text += "\n";
  }
  return text + R"(
Examples:
  ups-data generate burgers1d -o burgers.hdf5 -n 1024 --nx 256 --param nu=0.01 --save-every 0.05
  ups-data generate darcy2d -o darcy.hdf5 -n 1024 --nx 64 --seed 3
Sample i depends on the seed, the settings and i only: a larger -n extends a set. A stopped run continues with --resume.)";
}

}  // namespace ups::data
