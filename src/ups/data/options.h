// The `data.*` block (docs/reference/config.md). stages.steady_prior.data has the same keys.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ups/core/fields.h"

namespace ups::data {

struct TaskSamplingOptions {
  std::string strategy = "balanced";
  bool operator==(const TaskSamplingOptions&) const = default;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("strategy", s.strategy,
      {.doc = "how batches are shared between tasks of a mixed run",
       .choices = {"balanced", "proportional"},
       .status = KeyStatus::no_effect,
       .advice = "mixing several tasks comes later"});
  }
};

struct DataOptions {
  std::vector<std::string> task;              // a single text in YAML is a list of one
  std::string root;
  std::string split = "train";
  std::vector<std::string> files;
  std::string format = "auto";
  std::string kind = "grid";
  std::string path, group;
  std::string field_name = "u";
  std::map<std::string, int64_t> field_channels;
  std::optional<int64_t> patch_size;
  std::optional<int64_t> shard_limit;
  TaskSamplingOptions task_sampling;
  std::string split_mode = "hash";
  int64_t split_seed = 0;
  std::vector<double> split_fractions = {0.8, 0.1, 0.1};
  std::string split_file;
  std::string group_by = "index";
  std::map<std::string, std::vector<double>> holdout;
  std::string normalization = "meanstd";
  int64_t initial_step = 1;
  std::optional<int64_t> train_frames;
  int64_t reduced_resolution = 1, reduced_resolution_t = 1, reduced_batch = 1;
  int64_t num_samples_max = -1;
  std::string resample = "stride";
  std::string memory_budget = "512MiB";
  std::string cache = "auto";
  std::string max_dataset_bytes = "64GiB";
  bool allow_overlap = false;
  std::optional<int64_t> hidden_dim, message_passing_steps, supernodes;
  std::optional<bool> use_coords;
  std::string download;  // free-form subtree, never read

  bool operator==(const DataOptions&) const = default;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr std::string_view kUnused = "read by UPS's mesh and particle encoders only";
    v("task", s.task,
      {.doc = "task name(s); choose the files below data.root and name the rows of tables",
       .choices = {"burgers1d", "advection1d", "ks1d", "darcy2d", "diffreact2d", "navier_stokes2d", "diffusion_sorption1d",
                   "reaction_diffusion1d", "cfd1d_shocktube", "cfd2d_rand", "cfd2d_turb", "reaction_diffusion2d",
                   "shallow_water2d", "allen_cahn2d", "cahn_hilliard2d", "compressible_ns1d", "compressible_ns3d", "cfd3d",
                   "darcy2d_mesh", "particles_advect"}});
    v("root", s.root, {.doc = "folder that is searched for the files of data.task (PDEBENCH_ROOT sets it), or holds a data set of The Well"});
    v("split", s.split,
      {.doc = "which UPS shards data.root must hold (split_mode ups uses all three)", .choices = {"train", "val", "valid", "test"}});
    v("files", s.files, {.doc = "explicit HDF5 files; several files of one family are concatenated"});
    v("format", s.format,
      {.doc = "file layout; auto detects it from the contents",
       .choices = {"auto", "pdebench", "pdebench_darcy", "pdebench_cfd", "pdebench_group", "pdebench_ns", "ups_h5", "well", "zarr"}});
    v("kind", s.kind, {.doc = "grid is the only supported kind", .choices = {"grid", "mesh", "particles"}});
    v("path", s.path, {.doc = "Zarr store that is read when data.files is empty (UPS's spelling)"});
    v("group", s.group, {.doc = "group inside the Zarr store of data.path"});
    v("field_name", s.field_name, {.doc = "name of the field in ups_h5 files, which store none"});
    v("field_channels", s.field_channels, {.doc = "expected number of channels per field; checked against the files", .min = 1});
    v("patch_size", s.patch_size,
      {.doc = "cells per patch and axis; null = 8 in 1-D with >= 512 points, else 4", .min = 1, .max = 256});
    v("shard_limit", s.shard_limit, {.doc = "use at most this many shards or files, in name order", .min = 1});
    v("task_sampling", s.task_sampling, {.doc = "mixing of several tasks"});
    v("split_mode", s.split_mode,
      {.doc = "how trajectories are divided into train, val, test",
       .choices = {"hash", "pdebench", "pdebench_exact", "ups", "well", "file", "holdout"}});
    v("split_seed", s.split_seed, {.doc = "seed of the hash split", .min = 0});
    v("split_fractions", s.split_fractions, {.doc = "shares of train, val, test; sum 1", .min = 0, .max = 1});
    v("split_file", s.split_file, {.doc = "JSON with index lists train, val, test (split_mode file)"});
    v("group_by", s.group_by,
      {.doc = "what must not be divided between splits: trajectory index over all files of a family, or file",
       .choices = {"index", "file", "explicit"}});
    v("holdout", s.holdout, {.doc = "parameter values kept out of train and val, for example {nu: [0.002, 0.02]}"});
    v("normalization", s.normalization,
      {.doc = "statistics of the train split", .choices = {"meanstd", "rms", "none", "reference"}});
    v("initial_step", s.initial_step, {.doc = "frames given to the model before errors count", .min = 1, .max = 100000});
    v("train_frames", s.train_frames,
      {.doc = "training, validation and statistics see the first N frames of a trajectory, evaluation all: how errors grow beyond; null = all", .min = 2, .max = 1000000});
    v("reduced_resolution", s.reduced_resolution, {.doc = "keep every n-th cell", .min = 1, .max = 65536});
    v("reduced_resolution_t", s.reduced_resolution_t, {.doc = "keep every n-th frame", .min = 1, .max = 65536});
    v("reduced_batch", s.reduced_batch, {.doc = "keep every n-th trajectory", .min = 1, .max = 1000000});
    v("num_samples_max", s.num_samples_max, {.doc = "use at most this many trajectories per file; -1 = all", .min = -1});
    v("resample", s.resample,
      {.doc = "stride drops cells (as PDEBench); lowpass averages blocks of reduced_resolution cells", .choices = {"stride", "lowpass"}});
    v("memory_budget", s.memory_budget, {.doc = "bytes for prefetching, chunk cache and RAM cache together"});
    v("cache", s.cache, {.doc = "auto keeps the set in RAM if it fits the budget", .choices = {"auto", "ram", "none"}});
    v("max_dataset_bytes", s.max_dataset_bytes, {.doc = "largest HDF5 dataset that is opened"});
    v("allow_overlap", s.allow_overlap, {.doc = "accept equal first frames in different splits (they leak test data)"});
    v("hidden_dim", s.hidden_dim, {.status = KeyStatus::no_effect, .advice = kUnused});
    v("message_passing_steps", s.message_passing_steps, {.status = KeyStatus::no_effect, .advice = kUnused});
    v("supernodes", s.supernodes, {.status = KeyStatus::no_effect, .advice = kUnused});
    v("use_coords", s.use_coords, {.status = KeyStatus::no_effect, .advice = kUnused});
    v("download", s.download,
      {.status = KeyStatus::no_effect, .advice = "fetch files yourself; ups-train never downloads", .free_form = true});
  }
};

}  // namespace ups::data
