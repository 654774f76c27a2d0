#include "ups/data/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <tuple>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/compose.h"
#include "ups/data/family.h"
#include "ups/data/files.h"
#include "ups/data/generators/write_file.h"
#include "ups/data/resample.h"
#include "ups/data/source.h"
#include "ups/data/well_write.h"
#include "ups/io/hdf5_write.h"

namespace ups::data {
namespace {

constexpr int64_t kWindowBytes = int64_t{16} << 20;

// "3:10", ":10", "3:" -> [3, 10) within [0, n).
std::pair<int64_t, int64_t> parse_select(const std::string& text, int64_t n) {
  if (text.empty()) return {0, n};
  const size_t colon = text.find(':');
  const auto number = [&](const std::string& part, int64_t missing) {
    if (part.empty()) return missing;
    if (part.size() > 12 || part.find_first_not_of("0123456789") != std::string::npos) return int64_t{-1};
    return static_cast<int64_t>(std::stoll(part));
  };
  const int64_t a = colon == std::string::npos ? -1 : number(text.substr(0, colon), 0);
  const int64_t b = colon == std::string::npos ? -1 : number(text.substr(colon + 1), n);
  if (a < 0 || b > n || a >= b) {
    throw usage_error("--select", fmt::format("expected a:b with 0 <= a < b <= {}, found '{}'", n, escape_text(text)), "for example --select 0:100");
  }
  return {a, b};
}

class Converter {
 public:
  explicit Converter(const ConvertOptions& o) : o_(o) {
    if (o.in.empty()) throw usage_error("convert", "expected at least one input file, found none");
    if (o.out.empty()) throw usage_error("-o", "an output file is needed");
    for (const int64_t n : {o.stride, o.stride_t}) {
      if (n < 1 || n > 65536) throw usage_error("--stride", fmt::format("expected 1 to 65536, found {}", n));
    }
    std::error_code ec;
    for (const std::string& f : o.in) {
      if (std::filesystem::equivalent(f, o.out, ec)) throw usage_error("-o", o.out + " is an input", "choose another name");
    }
    if (std::filesystem::exists(o.out, ec) && !o.overwrite) {
      throw usage_error("-o", o.out + " exists", "choose another name, or replace it with --overwrite");
    }
    open();
    choose_layout();
  }

  std::string run() {
    const std::string temporary = o_.out + ".tmp";
    try {
      io::H5Writer file(temporary);
      create(file);
      for (int64_t k = first_; k < last_; ++k) copy(file, k);
      describe(file);
      file.close_as(o_.out);
    } catch (...) {
      std::remove(temporary.c_str());
      throw;
    }
    return fmt::format("{}: {} of {}, {} trajectories, {} frames, {} channels, grid {}", o_.out, to_, info_.family, last_ - first_,
                       info_.frames, channels_, fmt::join(info_.grid, " x "));
  }

 private:
  void open() {
    SourceOptions so;
    so.format = o_.format;
    if (!parse_bytes(o_.max_dataset_bytes, so.limits.max_dataset_bytes)) {
      throw usage_error("--max-dataset-bytes", fmt::format("expected a size like 64GiB, found '{}'", o_.max_dataset_bytes));
    }
    for (const std::string& f : o_.in) {
      sources_.push_back(open_source(f, so));
      const SourceInfo& first = sources_[0]->info();
      if (sources_.back()->info().params != first.params) {
        throw data_error(f, fmt::format("expected the parameters of {}, found other values", base_name(first.path)),
                         "convert the files one by one; data.files takes several");
      }
    }
    DataOptions d;
    d.reduced_resolution = o_.stride;
    d.reduced_resolution_t = o_.stride_t;
    d.resample = o_.resample;
    info_ = compose_info(sources_, d);
    resample_ = Resample(sources_[0]->info().grid, o_.stride, o_.resample == "lowpass");
    std::tie(first_, last_) = parse_select(o_.select, info_.trajectories);
    channels_ = info_.channels;
    names_ = info_.channel_names;
    if (o_.to == "well" && !o_.constants.empty()) throw usage_error("--constants", "is for layouts without a place for constant fields, well has one", "leave it out");
    if (info_.coeff_channels > 0 && !info_.steady && o_.to != "well") add_constants();
  }

  void add_constants() {
    if (o_.constants != "drop" && o_.constants != "channels") {
      throw usage_error("--constants", fmt::format("{} has fields that do not change in time", base_name(o_.in[0])),
                        "drop leaves them out, channels repeats them in every frame");
    }
    if (o_.constants == "drop") return;
    channels_ += info_.coeff_channels;
    names_.insert(names_.end(), sources_[0]->info().coeff_names.begin(), sources_[0]->info().coeff_names.end());
    for (int64_t c = static_cast<int64_t>(names_.size()); c < channels_; ++c) names_.push_back(fmt::format("constant{}", c - info_.channels));
  }

  // The input of a steady set is its coefficient, for which only one layout has a place.
  void choose_layout() {
    const bool coefficient = info_.steady && info_.coeff_channels > 0, darcy = coefficient && info_.coeff_channels == 1 && channels_ == 1;
    const auto fits = [&](const std::string& to) {
      if (to == "pdebench_darcy") return darcy;
      if (coefficient) return false;
      if (to == "well") return !info_.steady;
      if (to == "pdebench") return channels_ == 1;
      return to != "ups_h5" || info_.grid.size() <= 2;
    };
    to_ = o_.to;
    if (to_ == "auto") to_ = coefficient ? "pdebench_darcy" : channels_ == 1 ? "pdebench" : "pdebench_group";
    if (!fits(to_)) {
      throw usage_error("--to", fmt::format("{} cannot hold {} channels, {} coefficients, grid {}", to_, channels_, info_.coeff_channels,
                                            fmt::join(info_.grid, " x ")), "leave --to out: it chooses the layout that can");
    }
    y_first_ = to_ == "pdebench_group" && info_.grid.size() == 2 && stores_y_first(info_.family);
  }

  bool monolithic() const { return to_ != "pdebench_group"; }

  static void put(io::H5Writer& file, const std::string& path, const std::vector<double>& values) {
    file.dataset(path, {static_cast<int64_t>(values.size())}, io::H5Number::f64);
    file.write(path, values);
  }

  // Extents of one frame as stored.
  std::vector<int64_t> frame_shape() const {
    std::vector<int64_t> s = info_.grid;
    if (y_first_) std::swap(s[0], s[1]);
    if (to_ == "pdebench_group" || to_ == "ups_h5") s.push_back(channels_);
    return s;
  }

  static std::vector<int64_t> join_shape(std::vector<int64_t> head, const std::vector<int64_t>& tail) {
    head.insert(head.end(), tail.begin(), tail.end());
    return head;
  }

  void create(io::H5Writer& file) {
    if (to_ == "well") well_.emplace(file, well_header());
    if (well_ || !monolithic()) return;
    file.dataset(to_ == "ups_h5" ? "/data" : "/tensor", join_shape({last_ - first_, info_.frames}, frame_shape()), io::H5Number::f32);
    if (to_ == "pdebench_darcy") file.dataset("/nu", join_shape({last_ - first_}, info_.grid), io::H5Number::f32);
    if (to_ == "ups_h5") return;  // it has no coordinates
    for (size_t a = 0; a < info_.grid.size(); ++a) put(file, std::string("/") + "xyz"[a] + "-coordinate", info_.coords[a]);
    put(file, "/t-coordinate", info_.time);
  }

  WellHeader well_header() const {
    WellHeader h{info_.family, last_ - first_, info_.coords, info_.time, info_.boundary, sources_[0]->info().params, names_, {}};
    h.constant = sources_[0]->info().coeff_names;
    for (auto c = static_cast<int64_t>(h.constant.size()); c < info_.coeff_channels; ++c) h.constant.push_back(fmt::format("constant{}", c));
    return h;
  }

  struct Position {
    Source* source;
    int64_t local;
  };
  Position locate(int64_t k) const {
    for (const auto& s : sources_) {
      if (k < s->info().trajectories) return {s.get(), k};
      k -= s->info().trajectories;
    }
    throw data_error(o_.in[0], "internal: no such trajectory");
  }

  // Group numbers of a single input are kept: the split goes by them.
  std::string group_of(int64_t k) const {
    const int64_t id = sources_.size() == 1 ? sources_[0]->info().ids[static_cast<size_t>(k)] : k;
    return fmt::format("/{:04}", id);
  }

  void copy(io::H5Writer& file, int64_t k) {
    const Position p = locate(k);
    const auto coeff = static_cast<size_t>(info_.coeff_channels);
    const size_t full = static_cast<size_t>(p.source->info().cells()), cells = static_cast<size_t>(info_.cells());
    constants_.resize(coeff * cells);
    if (coeff > 0) {
      full_.resize(coeff * full);
      p.source->read_coeff(p.local, full_);
      resample_.apply(full_, constants_, info_.coeff_channels);
    }
    if (well_) well_->constants(k - first_, constants_);
    std::string object = to_ == "ups_h5" ? "/data" : "/tensor";
    std::vector<int64_t> start{k - first_, 0};
    if (!monolithic()) {
      const std::string group = group_of(k);
      file.group(group);
      object = group + "/data";
      file.dataset(object, join_shape({info_.frames}, frame_shape()), io::H5Number::f32);
      for (size_t a = 0; a < info_.grid.size(); ++a) put(file, group + "/grid/" + "xyz"[a], info_.coords[a]);
      put(file, group + "/grid/t", info_.time);
      start = {0};
    }
    if (to_ == "pdebench_darcy") file.write_rows("/nu", k - first_, constants_);
    const auto frame_bytes = static_cast<int64_t>(static_cast<size_t>(std::max(channels_, info_.channels)) * full * sizeof(float));
    const int64_t window = std::clamp<int64_t>(kWindowBytes / frame_bytes, 1, info_.frames);
    start.resize(start.size() + frame_shape().size(), 0);
    const size_t time_axis = monolithic() ? 1 : 0;
    for (int64_t t = 0; t < info_.frames; t += window) {
      const int64_t n = std::min(window, info_.frames - t);
      read_window(p, t, n, full, cells);
      if (well_) {
        well_->frames(k - first_, t, n, out_);
        continue;
      }
      start[time_axis] = t;
      file.write_block(object, start, join_shape(monolithic() ? std::vector<int64_t>{1, n} : std::vector<int64_t>{n}, frame_shape()), out_);
    }
  }

  // Frames t, .. of the result, as stored: out_.
  void read_window(const Position& p, int64_t t, int64_t n, size_t full, size_t cells) {
    const auto fields = static_cast<size_t>(info_.channels), channels = static_cast<size_t>(channels_), frames = static_cast<size_t>(n);
    full_.resize(frames * fields * full);
    p.source->read(p.local, t * o_.stride_t, n, o_.stride_t, full_);
    reduced_.resize(frames * fields * cells);
    resample_.apply(full_, reduced_, n * info_.channels);
    out_.resize(frames * channels * cells);
    const bool channels_last = to_ == "pdebench_group" || to_ == "ups_h5";
    const auto nx = static_cast<size_t>(info_.grid[0]), rest = cells / nx;
    for (size_t f = 0; f < frames; ++f) {
      for (size_t c = 0; c < channels; ++c) {
        const float* in = c < fields ? reduced_.data() + (f * fields + c) * cells : constants_.data() + (c - fields) * cells;
        for (size_t cell = 0; cell < cells; ++cell) {
          const size_t at = y_first_ ? cell % rest * nx + cell / rest : cell;
          out_[f * channels * cells + (channels_last ? at * channels + c : c * cells + at)] = in[cell];
        }
      }
    }
  }

  // What the readers understand beats what the input said of the same name.
  void describe(io::H5Writer& file) const {
    std::set<std::string> taken = {"family", "channels", "boundary", "parameters", "first_trajectory", "converted_from", "converted_by"};
    if (to_ == "well") taken.insert({"dataset_name", "grid_type", "n_spatial_dims", "n_trajectories", "simulation_parameters"});
    std::vector<std::string> params, sides, inputs;
    for (const auto& [name, value] : sources_[0]->info().params) {
      params.push_back(name);
      taken.insert(name);
      if (to_ != "well") file.attribute("/", name, value);
    }
    for (const Boundary b : info_.boundary) sides.emplace_back(to_string(b));
    for (const std::string& f : o_.in) inputs.push_back(base_name(f));
    file.attribute("/", "family", info_.family);
    file.attribute("/", "channels", join(names_, ","));
    file.attribute("/", "boundary", join(sides, ","));
    file.attribute("/", "parameters", join(params, ","));
    if (monolithic() && sources_.size() == 1) file.attribute("/", "first_trajectory", sources_[0]->info().ids[static_cast<size_t>(first_)]);
    file.attribute("/", "converted_from", join(inputs, ","));
    file.attribute("/", "converted_by", fmt::format("{} convert --to {} --select {}:{} --stride {} --stride-t {} --resample {}{}", kGeneratorVersion,
                                                    to_, first_, last_, o_.stride, o_.stride_t, o_.resample,
                                                    o_.constants.empty() ? "" : " --constants " + o_.constants));
    for (const io::H5Attribute& a : sources_[0]->info().attributes) {
      if (a.name.empty() || !taken.insert(lower(a.name)).second) continue;
      if (a.numbers.size() == 1) file.attribute("/", a.name, a.numbers[0]);
      else if (!a.texts.empty()) file.attribute("/", a.name, join(a.texts, ","));
    }
  }

  ConvertOptions o_;
  std::vector<std::unique_ptr<Source>> sources_;
  SetInfo info_;
  Resample resample_;
  std::string to_;
  int64_t first_ = 0, last_ = 0, channels_ = 0;
  std::vector<std::string> names_;
  bool y_first_ = false;
  std::optional<WellFile> well_;  // when that is the layout
  std::vector<float> full_, reduced_, constants_, out_;
};

}  // namespace

std::string convert(const ConvertOptions& options) { return Converter(options).run(); }

}  // namespace ups::data
