// ups-data: makes, inspects and checks data files. No LibTorch.
#include <fmt/format.h>

#include <cstdlib>

#include "ups/config/cli.h"
#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/generators/generator.h"

namespace {

using ups::data::GenerateOptions;

// "nu=0.01" -> params["nu"] = 0.01.
void parse_params(const std::vector<std::string>& texts, std::map<std::string, double>& params) {
  for (const std::string& text : texts) {
    const size_t eq = text.find('=');
    if (eq == std::string::npos || eq == 0) {
      throw ups::usage_error("--param", fmt::format("'{}' is not NAME=VALUE", text), "for example --param nu=0.01");
    }
    const std::string name = text.substr(0, eq), value = text.substr(eq + 1);
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0') throw ups::usage_error("--param " + name, fmt::format("'{}' is not a number", value));
    if (!params.emplace(name, number).second) throw ups::usage_error("--param " + name, "was given twice");
  }
}

std::string generator_help() {
  std::string text = "Generators (exact definitions in docs/data.md):\n";
  for (const auto& g : ups::data::generator_table()) {
    text += fmt::format("  {:<12} {}\n               {}\n", g.name, g.summary, g.equation);
    for (const auto& p : g.params) {
      text += fmt::format("               --param {}={}  {}, {} to {}\n", p.name, p.value, p.doc, p.min, p.max);
    }
    if (g.ics.size() > 1) text += fmt::format("               --ic {}  (default {}; {})\n", ups::join(g.ics, "|"), g.ics.front(), g.ic_doc);
    text += fmt::format("               defaults: --nx {}", g.nx);
    if (g.t_end > 0) text += fmt::format(" --t-end {} --save-every {}", g.t_end, g.save_every);
    text += "\n";
  }
  return text + R"(
Examples:
  ups-data generate burgers1d -o burgers.hdf5 -n 1024 --nx 256 --param nu=0.01 --save-every 0.05
  ups-data generate darcy2d -o darcy.hdf5 -n 1024 --nx 64 --seed 3
Sample i depends on the seed, the settings and i only, so a larger -n extends a set. A stopped run continues with --resume.)";
}

void add_generate(CLI::App& app, GenerateOptions& o, std::vector<std::string>& params) {
  CLI::App* verb = app.add_subcommand("generate", "solve a PDE many times and write a PDEBench-like HDF5 file");
  verb->footer(generator_help());
  verb->add_option("name", o.name, "which equation (list below)")->required();
  verb->add_option("-o,--out", o.out, "file to write")->required();
  verb->add_option("-n,--count", o.count, "number of samples")->capture_default_str();
  verb->add_option("--seed", o.seed, "seed of the random fields")->capture_default_str();
  verb->add_option("--nx", o.nx, "stored points per axis");
  verb->add_option("--stride-x", o.stride_x, "store every k-th cell centre of a grid of nx*k cells (1-D; default: 1024/nx, as PDEBench strides)");
  verb->add_option("--t-end", o.t_end, "last stored time");
  verb->add_option("--save-every", o.save_every, "time between stored frames; frame 0 is the initial field");
  verb->add_option("--param", params, "NAME=VALUE, a parameter of the equation; may be repeated");
  verb->add_option("--ic", o.ic, "family of random initial or coefficient fields");
  verb->add_option("--threads", o.threads, "worker threads, 0 = one per core; the file does not depend on it")->capture_default_str();
  verb->add_flag("--resume", o.resume, "continue an interrupted run of the same command");
  verb->add_flag("--overwrite", o.overwrite, "replace an existing file");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Makes, inspects and checks the data files of ups-train.", "ups-data"};
  ups::config::CommonFlags flags;
  ups::config::add_common(app, flags);
  app.require_subcommand(1);
  GenerateOptions options;
  std::vector<std::string> params;
  add_generate(app, options, params);
  return ups::config::run_main("ups-data", argc, argv, app, flags, [&] {
    parse_params(params, options.params);
    ups::data::generate(options);
    return 0;
  });
}
