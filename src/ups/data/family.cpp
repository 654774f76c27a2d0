#include "ups/data/family.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string_view>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::data {
namespace {

struct Entry {
  std::string_view name;
  std::vector<std::string_view> in_file_name;  // lower case
  std::vector<std::string_view> tasks;         // further task names
  std::vector<Boundary> boundary;              // one kind for all sides, or one per side
  std::vector<std::string_view> channels;
};

const std::vector<Entry>& table() {
  using B = Boundary;
  static const std::vector<Entry> kTable = {
      {"advection1d", {"advection"}, {}, {B::periodic}, {"u"}},
      {"burgers1d", {"burgers"}, {}, {B::periodic}, {"u"}},
      {"ks1d", {"ks1d", "kuramoto"}, {}, {B::periodic}, {"u"}},
      {"reaction_diffusion1d", {"reacdiff", "reaction_diffusion1d"}, {}, {B::periodic}, {"u"}},
      {"diffusion_sorption1d", {"diff-sorp", "diff_sorp", "diffusion_sorption"}, {}, {B::dirichlet, B::cauchy}, {"u"}},
      {"diffreact2d", {"diff-react", "diff_react", "diffreact", "reaction_diffusion2d"}, {"reaction_diffusion2d"}, {B::neumann},
          {"u", "v"}},
      {"shallow_water2d", {"rdb", "shallow_water", "swe2d"}, {}, {B::open}, {"h"}},
      {"darcy2d", {"darcy"}, {}, {B::dirichlet}, {"u"}},
      {"cfd1d_rand", {"1d_cfd_rand"}, {"compressible_ns1d"}, {B::periodic}, {}},
      {"cfd1d_shocktube", {"1d_cfd_shock", "cfd1d_shock"}, {"compressible_ns1d"}, {B::open}, {}},
      {"cfd2d_rand", {"2d_cfd_rand", "cfd2d_rand"}, {}, {B::periodic}, {}},
      {"cfd2d_turb", {"2d_cfd_turb", "cfd2d_turb"}, {}, {B::periodic}, {}},
      {"cfd3d", {"3d_cfd", "cfd3d"}, {"compressible_ns3d"}, {B::periodic}, {}},
      {"ns2d", {"ns2d"}, {"navier_stokes2d"}, {B::periodic}, {"vorticity"}},
      {"navier_stokes2d", {"navier_stokes2d", "ns_incom"}, {}, {B::unknown}, {}},
      {"allen_cahn2d", {"allen_cahn2d"}, {}, {B::unknown}, {}},
      {"cahn_hilliard2d", {"cahn_hilliard2d"}, {}, {B::unknown}, {}},
      {"compressible_ns1d", {"compressible_ns1d"}, {}, {B::unknown}, {}},
      {"compressible_ns3d", {"compressible_ns3d"}, {}, {B::unknown}, {}},
  };
  return kTable;
}

const Entry* find(const std::string& family) {
  for (const Entry& e : table()) {
    if (e.name == family) return &e;
  }
  return nullptr;
}

// Without .h5 or .hdf5 only: "burgers_nu0.01" has no extension.
std::string plain_stem(const std::string& path) {
  const std::filesystem::path p(path);
  const std::string extension = lower(p.extension().string());
  return extension == ".h5" || extension == ".hdf5" ? p.stem().string() : p.filename().string();
}

std::string stem_of(const std::string& path) { return lower(plain_stem(path)); }

const io::H5Attribute* attribute(const std::vector<io::H5Attribute>& all, std::string_view name) {
  for (const io::H5Attribute& a : all) {
    if (lower(a.name) == name) return &a;
  }
  return nullptr;
}

// PDEBench's layouts name their equation by the parameters they store.
std::string family_from_params(const std::string& format, const std::vector<io::H5Attribute>& root) {
  if (format == "pdebench_darcy") return "darcy2d";
  if (format != "pdebench") return "";
  if (attribute(root, "nu")) return attribute(root, "rho") ? "reaction_diffusion1d" : "burgers1d";
  if (attribute(root, "beta")) return "advection1d";
  return "";
}

constexpr std::string_view kParams[] = {"nu", "beta", "rho", "eta", "zeta", "m", "l", "du", "dv", "k", "r"};
constexpr size_t kNamedParams = 6;  // PDEBench writes these into file names; the others only as attributes

// "..._Nu0.001" or "nu=0.001": a parameter name at a word start, directly followed by a number.
bool number_in_name(const std::string& stem, std::string_view name, double& value) {
  for (size_t at = stem.find(name); at != std::string::npos; at = stem.find(name, at + 1)) {
    if (at > 0 && std::isalnum(static_cast<unsigned char>(stem[at - 1]))) continue;
    size_t i = at + name.size();
    if (i < stem.size() && stem[i] == '=') ++i;
    if (i >= stem.size() || !std::isdigit(static_cast<unsigned char>(stem[i]))) continue;
    value = std::strtod(stem.c_str() + i, nullptr);
    return true;
  }
  return false;
}

}  // namespace

std::string family_from_name(const std::string& path) {
  const std::string stem = stem_of(path);
  for (const Entry& e : table()) {
    for (std::string_view text : e.in_file_name) {
      if (stem.find(text) != std::string::npos) return std::string(e.name);
    }
  }
  return "";
}

bool serves_task(const std::string& family, const std::string& task) {
  if (family == task) return true;
  const Entry* e = find(family);
  return e && std::find(e->tasks.begin(), e->tasks.end(), task) != e->tasks.end();
}

Family find_family(const std::string& path, const std::string& format, const std::vector<io::H5Attribute>& root,
                   const std::vector<std::string>& tasks) {
  std::string name;
  if (const io::H5Attribute* f = attribute(root, "family"); f && f->texts.size() == 1 && !f->texts[0].empty()) {
    if (!find(f->texts[0]) && tasks.empty()) return {escape_text(f->texts[0]), false};
    if (find(f->texts[0])) name = f->texts[0];
  }
  if (const io::H5Attribute* g = attribute(root, "generator"); name.empty() && g && !g->texts.empty() && find(g->texts[0])) name = g->texts[0];
  if (name.empty()) name = family_from_name(path);
  if (name.empty()) name = family_from_params(format, root);
  if (tasks.empty()) return name.empty() ? Family{plain_stem(path), false} : Family{name, true};
  if (name.empty()) return {tasks[0], true};
  for (const std::string& t : tasks) {
    if (serves_task(name, t)) return {name, true};
  }
  throw data_error(path, fmt::format("expected data of task {}, found {}", join(tasks, " or "), name),
      "change data.task or data.files");
}

std::vector<Boundary> family_boundary(const std::string& family, const std::string& path, size_t axes) {
  const Entry* e = find(family);
  std::vector<Boundary> kinds = e ? e->boundary : std::vector<Boundary>{Boundary::unknown};
  if (starts_with(family, "cfd")) {
    const std::string stem = stem_of(path);
    if (stem.find("periodic") != std::string::npos) kinds = {Boundary::periodic};
    else if (stem.find("trans") != std::string::npos) kinds = {Boundary::open};
  }
  std::vector<Boundary> sides(2 * axes, kinds[0]);
  if (kinds.size() == sides.size()) sides = kinds;
  return sides;
}

std::vector<std::string> channel_names(const std::string& family, int64_t channels, const std::string& fallback) {
  const Entry* e = find(family);
  std::vector<std::string> names;
  if (e && static_cast<int64_t>(e->channels.size()) == channels) {
    names.assign(e->channels.begin(), e->channels.end());
  } else if (channels == 1) {
    names = {fallback};
  } else {
    for (int64_t c = 0; c < channels; ++c) names.push_back(fmt::format("{}{}", fallback, c));
  }
  return names;
}

bool stores_y_first(const std::string& family) { return family == "diffreact2d" || family == "ns2d"; }
bool on_unit_interval(const std::string& family) { return family == "burgers1d" || family == "advection1d"; }

std::map<std::string, double> file_params(const std::string& path, const std::vector<io::H5Attribute>& root) {
  std::map<std::string, double> params;
  const std::string stem = stem_of(path);
  for (size_t p = 0; p < std::size(kParams); ++p) {
    const std::string_view name = kParams[p];
    const io::H5Attribute* a = attribute(root, name);
    double in_name = 0;
    const bool named = p < kNamedParams && number_in_name(stem, name, in_name);
    if (a && a->numbers.size() > 1) {
      throw data_error(path, fmt::format("attribute '{}': expected one number, found {}", a->name, a->numbers.size()));
    }
    const bool stored = a && a->numbers.size() == 1;
    if (!stored && !named) continue;
    const double value = stored ? a->numbers[0] : in_name;
    if (!std::isfinite(value))
      throw data_error(path, fmt::format("attribute '{}': expected a finite number, found {}", name, value));
    if (stored && named && std::abs(value - in_name) > 1e-6 * std::max(std::abs(value), std::abs(in_name))) {
      throw data_error(path, fmt::format("attribute '{}': expected {} as the file name says, found {}", a->name, in_name, value),
                       "rename the file or correct the attribute");
    }
    params[std::string(name)] = value;
  }
  return params;
}

}  // namespace ups::data
