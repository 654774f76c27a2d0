// ups-data: makes, inspects, checks and converts data files. No LibTorch.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "ups/config/cli.h"
#include "ups/core/error.h"
#include "ups/data/convert.h"
#include "ups/data/generators/generator.h"
#include "ups/data/inspect.h"
#include "ups/data/validate.h"

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

CLI::App* add_generate(CLI::App& app, GenerateOptions& o, std::vector<std::string>& params) {
  CLI::App* verb = app.add_subcommand("generate", "solve a PDE many times and write a PDEBench-like HDF5 file");
  verb->footer(ups::data::describe_generators());
  verb->add_option("name", o.name, "which equation (list below)")->required();
  verb->add_option("-o,--out", o.out, "file to write")->required();
  verb->add_option("-n,--count", o.count, "number of samples")->capture_default_str();
  verb->add_option("--seed", o.seed, "seed of the random fields")->capture_default_str();
  verb->add_option("--nx", o.nx, "stored points per axis");
  verb->add_option("--stride-x", o.stride_x, "store every k-th cell centre of a grid of nx*k cells (1-D; default: 1024/nx, as PDEBench strides)");
  verb->add_option("--t-end", o.t_end, "last stored time");
  verb->add_option("--save-every", o.save_every, "time between stored frames; frame 0 is the initial field");
  verb->add_option("--param", params, "NAME=VALUE, a parameter of the equation; may be repeated")->allow_extra_args(false);
  verb->add_option("--ic", o.ic, "family of random initial or coefficient fields");
  verb->add_option("--threads", o.threads, "worker threads, 0 = one per core; the file does not depend on it")->capture_default_str();
  verb->add_flag("--resume", o.resume, "continue an interrupted run of the same command");
  verb->add_flag("--overwrite", o.overwrite, "replace an existing file");
  return verb;
}

struct InspectRequest {
  std::string file;
  bool json = false;
  ups::data::InspectOptions options;
};

CLI::App* add_inspect(CLI::App& app, InspectRequest& r) {
  CLI::App* verb = app.add_subcommand("inspect", "show what is in a data file: format, shapes, parameters, times, boundary");
  verb->footer("Field values are read only for --stats. Example: ups-data inspect burgers.hdf5 --stats 100");
  verb->add_option("file", r.file, "HDF5 file")->required();
  verb->add_flag("--json", r.json, "one JSON object instead of text");
  verb->add_flag("--attrs", r.options.attrs, "also the attributes of the root and of the first group");
  verb->add_option("--stats", r.options.stats, "mean, deviation, range of the first N trajectories");
  verb->add_option("--format", r.options.format, "read it as this layout instead of detecting one")->capture_default_str();
  verb->add_option("--max-dataset-bytes", r.options.max_dataset_bytes, "refuse larger data sets")->capture_default_str();
  return verb;
}

struct ValidateRequest {
  std::vector<std::string> files;
  ups::data::ValidateOptions options;
};

CLI::App* add_validate(CLI::App& app, ValidateRequest& r) {
  CLI::App* verb = app.add_subcommand("validate", "check data files as training would, and scan them for NaN and infinity");
  verb->footer("Exit code 0: all files are sound; 3: the first problem is on stderr.\n"
               "Example: ups-data validate train.hdf5 --leaks --checksum");
  verb->add_option("files", r.files, "HDF5 files")->required();
  verb->add_flag("--leaks", r.options.leaks, "cut the split over all files together; equal first frames in two splits are an error");
  verb->add_flag("--checksum", r.options.checksum, "compare with FILE.xxh3, or write it if it does not exist");
  verb->add_flag("--untrusted", r.options.untrusted, "read in a child process with limits, for files from strangers");
  verb->add_option("--format", r.options.data.format, "read them as this layout instead of detecting one")->capture_default_str();
  verb->add_option("--split-seed", r.options.data.split_seed, "data.split_seed of --leaks")->capture_default_str();
  return verb;
}

CLI::App* add_convert(CLI::App& app, ups::data::ConvertOptions& o) {
  CLI::App* verb = app.add_subcommand("convert", "copy a data set of any readable layout into one HDF5 file of ours");
  verb->footer("Example: ups-data convert datasets/shear_flow/data/train/*.hdf5 -o shear.h5 --stride 2 --constants drop");
  verb->add_option("in", o.in, "files of one set with equal parameters")->required();
  verb->add_option("-o,--out", o.out, "file to write")->required();
  verb->add_option("--to", o.to, "layout to write; auto = the one that holds the set")
      ->check(CLI::IsMember({"auto", "pdebench", "pdebench_darcy", "pdebench_group", "ups_h5", "well"}))->capture_default_str();
  verb->add_option("--select", o.select, "a:b, trajectories a to b-1");
  verb->add_option("--stride", o.stride, "keep every n-th cell per axis")->capture_default_str();
  verb->add_option("--stride-t", o.stride_t, "keep every n-th frame")->capture_default_str();
  verb->add_option("--resample", o.resample, "stride drops cells, lowpass averages blocks")->check(CLI::IsMember({"stride", "lowpass"}))
      ->capture_default_str();
  verb->add_option("--constants", o.constants, "fields that never change: drop them, or repeat them as channels")
      ->check(CLI::IsMember({"drop", "channels"}));
  verb->add_option("--format", o.format, "read the input as this layout instead of detecting one")->capture_default_str();
  verb->add_option("--max-dataset-bytes", o.max_dataset_bytes, "refuse larger data sets")->capture_default_str();
  verb->add_flag("--overwrite", o.overwrite, "replace an existing file");
  return verb;
}

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (!text.empty() && text.back() != '\n') std::fputs("\n", stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Makes, inspects, checks and converts the data files of ups-train.", "ups-data"};
  ups::config::CommonFlags flags;
  ups::config::add_common(app, flags);
  app.require_subcommand(1);
  app.fallthrough();  // --quiet and its kin also after the verb (the verbs inherit it)
  GenerateOptions options;
  std::vector<std::string> params;
  const CLI::App* generate = add_generate(app, options, params);
  InspectRequest inspect;
  const CLI::App* inspect_verb = add_inspect(app, inspect);
  ValidateRequest validate;
  add_validate(app, validate);
  ups::data::ConvertOptions convert;
  const CLI::App* convert_verb = add_convert(app, convert);
  return ups::config::run_main("ups-data", argc, argv, app, flags, [&] {
    if (generate->parsed()) {
      parse_params(params, options.params);
      ups::data::generate(options);
    } else if (inspect_verb->parsed()) {
      print(inspect.json ? ups::data::inspect_json(inspect.file, inspect.options) : ups::data::inspect_text(inspect.file, inspect.options));
    } else if (convert_verb->parsed()) {
      print(ups::data::convert(convert));
    } else {
      print(ups::data::validate(validate.files, validate.options));
    }
    return 0;
  });
}
