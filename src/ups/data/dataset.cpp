#include "ups/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/data/compose.h"
#include "ups/data/files.h"
#include "ups/data/kernels.h"
#include "ups/data/leak.h"
#include "ups/data/resample.h"
#include "ups/data/source.h"
#include "ups/data/split.h"

namespace ups::data {
namespace {

using nlohmann::json;

// Name, size and the hash of the first 4 KiB: enough to tell two versions of a file apart without reading it.
json file_record(const SourceInfo& info) {
  std::ifstream in(info.path, std::ios::binary);
  char head[4096] = {};
  in.read(head, sizeof head);
  return {{"name", base_name(info.path)},
          {"bytes", info.bytes},
          {"header_xxh3", hash64_hex(head, static_cast<size_t>(in.gcount()))},
          {"trajectories", info.trajectories},
          {"format", info.format},
          {"notes", info.notes}};
}

class FileDataset final : public Dataset {
 public:
  explicit FileDataset(const DataOptions& options) : options_(options) {
    parse_sizes();
    open_files();
    info_ = compose_info(sources_, options_);
    resample_ = Resample(sources_[0]->info().grid, options_.reduced_resolution, options_.resample == "lowpass");
    std::vector<SplitFile> files = select();
    split_mode_ = resolve_split_mode(options_, files);
    members_ = make_split(options_, split_mode_, files);
    fill_cache();
    if (!options_.allow_overlap) check_leaks(*this, [this](int64_t n) { return place(n); });
    write_split_json(files);
  }

  const SetInfo& info() const override { return info_; }
  const std::vector<int64_t>& members(Split split) const override { return members_[static_cast<size_t>(split)]; }
  std::string split_hash() const override { return split_hash_; }
  std::string split_json() const override { return split_json_; }
  int64_t bytes_on_disk() const override {
    int64_t n = 0;
    for (const auto& s : sources_) n += s->info().bytes;
    return n;
  }
  int64_t bytes_selected() const override { return static_cast<int64_t>(used().size()) * trajectory_floats() * 4; }
  int64_t bytes_resident() const override { return static_cast<int64_t>((cache_.size() + coeff_cache_.size()) * sizeof(float)); }

  int64_t memory_budget() const override { return budget_; }

  std::vector<double> params(int64_t trajectory) const override {
    std::vector<double> out;
    for (const auto& entry : sources_[locate(trajectory).file]->info().params) out.push_back(entry.second);
    return out;
  }

  void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) override {
    const size_t frame = static_cast<size_t>(info_.channels * info_.cells());
    if (first < 0 || count < 1 || first + count > info_.frames || out.size() != frame * static_cast<size_t>(count)) {
      throw data_error(place(trajectory), fmt::format("expected frames within 0..{}, found {} to {}", info_.frames - 1, first,
          first + count - 1));
    }
    if (!slots_.empty()) {
      const int64_t slot = slots_[static_cast<size_t>(trajectory)];
      if (slot >= 0) {
        const size_t at = (static_cast<size_t>(slot) * static_cast<size_t>(info_.frames) + static_cast<size_t>(first)) * frame;
        std::memcpy(out.data(), cache_.data() + at, out.size_bytes());
        return;
      }
    }
    read_file(trajectory, first, count, out);
  }

  void read_coeff(int64_t trajectory, std::span<float> out) override {
    const size_t n = static_cast<size_t>(info_.coeff_channels * info_.cells());
    if (out.size() != n) throw data_error(place(trajectory), "internal: coefficient buffer of another size");
    if (n == 0) return;
    if (!slots_.empty()) {
      const int64_t slot = slots_[static_cast<size_t>(trajectory)];
      if (slot >= 0) {
        std::memcpy(out.data(), coeff_cache_.data() + static_cast<size_t>(slot) * n, out.size_bytes());
        return;
      }
    }
    read_coeff_file(trajectory, out);
  }

 private:
  struct Position {
    size_t file;
    int64_t local;
  };

  Position locate(int64_t trajectory) const {
    const auto it = std::upper_bound(offsets_.begin(), offsets_.end(), trajectory);
    const size_t file = static_cast<size_t>(it - offsets_.begin()) - 1;
    if (trajectory < 0 || file >= sources_.size()) throw data_error("data", fmt::format("no trajectory {}", trajectory));
    return {file, trajectory - offsets_[file]};
  }

  std::string place(int64_t trajectory) const {
    const Position p = locate(trajectory);
    return base_name(sources_[p.file]->info().path) + ":" + sources_[p.file]->object(p.local);
  }

  int64_t trajectory_floats() const { return (info_.frames * info_.channels + info_.coeff_channels) * info_.cells(); }

  // Trajectories of any split, ascending; val and test may coincide (pdebench_exact).
  std::vector<int64_t> used() const {
    std::set<int64_t> all;
    for (const auto& m : members_) all.insert(m.begin(), m.end());
    return {all.begin(), all.end()};
  }

  void parse_sizes() {
    const auto bytes = [](const std::string& text, const char* key) {
      int64_t n = 0;
      if (!parse_bytes(text, n) || n < 1) throw usage_error(key, fmt::format("expected a size like 512MiB, found '{}'", text));
      return n;
    };
    budget_ = bytes(options_.memory_budget, "data.memory_budget");
    max_dataset_bytes_ = bytes(options_.max_dataset_bytes, "data.max_dataset_bytes");
    if (options_.kind != "grid") throw usage_error("data.kind", fmt::format("expected grid, found {}", options_.kind));
    if (options_.task.size() > 1) throw usage_error("data.task", "expected one task; mixing several in one run comes later");
  }

  void open_files() {
    SourceOptions o;
    o.format = options_.format;
    o.tasks = options_.task;
    o.field_name = options_.field_name;
    o.limits.max_dataset_bytes = max_dataset_bytes_;
    choices_ = choose_files(options_);
    constexpr int64_t kOpenDatasets = 5;  // per file: the channels of CFD, or the groups kept open
    o.limits.chunk_cache_bytes = budget_ / 4 / (kOpenDatasets * static_cast<int64_t>(choices_.size()));
    for (const FileChoice& c : choices_) {
      offsets_.push_back(offsets_.empty() ? 0 : offsets_.back() + sources_.back()->info().trajectories);
      sources_.push_back(open_source(c.path, o));
    }
  }

  // PDEBench's order: every n-th trajectory, then at most so many, per file. Dead CFD runs drop out first.
  std::vector<SplitFile> select() {
    std::vector<SplitFile> files;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const SourceInfo& s = sources_[i]->info();
      SplitFile f{s.path, s.family, s.known_family, s.format == "pdebench_group", choices_[i].named_split, false, s.params,
                  s.ids, {}};
      if (s.format != "ups_h5") f.named_split.reset();  // PDEBench names end in _Train too
      if (s.format == "well") f.named_split = split_of_folder(s.path), f.named_by_folder = true;
      for (int64_t p = 0; p < s.trajectories; p += options_.reduced_batch) {
        if (options_.num_samples_max >= 0 && static_cast<int64_t>(f.selected.size()) >= options_.num_samples_max) break;
        if (sources_[i]->ill_defined(p)) rejected_.push_back(offsets_[i] + p);
        else f.selected.push_back(p);
      }
      files.push_back(std::move(f));
    }
    if (!rejected_.empty()) {
      log::warn(fmt::format("{}: left out {} ill-defined runs (density of the second-to-last frame sums to zero), first {}",
                            base_name(choices_[0].path), rejected_.size(), place(rejected_[0])));
    }
    return files;
  }

  void read_file(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) {
    const Position p = locate(trajectory);
    const int64_t stride = options_.reduced_resolution_t;
    if (resample_.identity()) {
      sources_[p.file]->read(p.local, first * stride, count, stride, out);
    } else {
      static thread_local std::vector<float> full;
      full.resize(static_cast<size_t>(count * info_.channels * sources_[p.file]->info().cells()));
      sources_[p.file]->read(p.local, first * stride, count, stride, full);
      resample_.apply(full, out, count * info_.channels);
    }
    if (!all_finite(out)) report_non_finite(trajectory, first, out);
  }

  void read_coeff_file(int64_t trajectory, std::span<float> out) {
    const Position p = locate(trajectory);
    if (resample_.identity()) {
      sources_[p.file]->read_coeff(p.local, out);
    } else {
      std::vector<float> full(static_cast<size_t>(info_.coeff_channels * sources_[p.file]->info().cells()));
      sources_[p.file]->read_coeff(p.local, full);
      resample_.apply(full, out, info_.coeff_channels);
    }
    if (!all_finite(out)) throw data_error(place(trajectory), "coefficient: expected finite values, found NaN or Inf");
  }

  [[noreturn]] void report_non_finite(int64_t trajectory, int64_t first, std::span<const float> x) const {
    size_t at = 0;
    while (std::isfinite(x[at])) ++at;
    const size_t frame = at / static_cast<size_t>(info_.channels * info_.cells());
    throw data_error(place(trajectory), fmt::format("expected finite values, found {} in frame {}", x[at],
                                                    (first + static_cast<int64_t>(frame)) * options_.reduced_resolution_t),
                     "ups-data validate lists every damaged trajectory");
  }

  void fill_cache() {
    const bool fits = bytes_selected() <= budget_;
    if (options_.cache == "none" || (options_.cache == "auto" && !fits)) return;
    if (!fits) {
      throw Error(ExitCode::memory, "data.cache", fmt::format("ram: expected at most {} (data.memory_budget), found {}",
                                                              format_bytes(budget_), format_bytes(bytes_selected())),
                  "raise data.memory_budget or use data.cache: auto");
    }
    const std::vector<int64_t> all = used();
    const size_t per = static_cast<size_t>(info_.frames * info_.channels * info_.cells());
    const size_t coeff = static_cast<size_t>(info_.coeff_channels * info_.cells());
    cache_.resize(all.size() * per);
    coeff_cache_.resize(all.size() * coeff);
    for (size_t k = 0; k < all.size(); ++k) {
      read_file(all[k], 0, info_.frames, std::span<float>(cache_).subspan(k * per, per));
      if (coeff) read_coeff_file(all[k], std::span<float>(coeff_cache_).subspan(k * coeff, coeff));
    }
    slots_.assign(static_cast<size_t>(info_.trajectories), -1);
    for (size_t k = 0; k < all.size(); ++k) slots_[static_cast<size_t>(all[k])] = static_cast<int64_t>(k);
  }

  void write_split_json(const std::vector<SplitFile>& files) {
    json j;
    j["version"] = 1;
    j["mode"] = split_mode_;
    j["seed"] = options_.split_seed;
    j["fractions"] = options_.split_fractions;
    j["group_by"] = options_.group_by;
    j["holdout"] = options_.holdout;
    j["family"] = info_.family;
    j["selection"] = {{"reduced_batch", options_.reduced_batch}, {"num_samples_max", options_.num_samples_max}};
    j["rejected"] = rejected_;
    j["selected_on_test"] = split_mode_ == "pdebench_exact";
    j["files"] = json::array();
    for (size_t i = 0; i < files.size(); ++i) j["files"].push_back(file_record(sources_[i]->info()));
    for (Split s : {Split::train, Split::val, Split::test}) {
      j[to_string(s)] = members(s);
      j["counts"][to_string(s)] = members(s).size();
    }
    split_hash_ = hash128_hex(j.dump());
    j["split_hash"] = split_hash_;
    split_json_ = j.dump() + "\n";
  }

  DataOptions options_;
  int64_t budget_ = 0, max_dataset_bytes_ = 0;
  std::vector<FileChoice> choices_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<int64_t> offsets_;  // first trajectory number of each file
  SetInfo info_;
  Resample resample_;
  std::string split_mode_;
  Members members_;
  std::vector<int64_t> rejected_;
  std::vector<float> cache_, coeff_cache_;
  std::vector<int64_t> slots_;  // trajectory -> place in the cache; empty when streaming
  std::string split_hash_, split_json_;
};

}  // namespace

std::unique_ptr<Dataset> Dataset::open(const DataOptions& options) { return std::make_unique<FileDataset>(options); }

const char* to_string(Boundary b) {
  static constexpr const char* kNames[] = {"periodic", "dirichlet", "neumann", "cauchy", "open", "wall", "unknown"};
  return kNames[static_cast<size_t>(b)];
}

const char* to_string(Split s) {
  static constexpr const char* kNames[] = {"train", "val", "test"};
  return kNames[static_cast<size_t>(s)];
}

}  // namespace ups::data
