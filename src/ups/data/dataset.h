// A data set as training sees it: readers + strides + split. Thread-safe for reading.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/data/options.h"

namespace ups::data {

class Dataset {
 public:
  // Opens every file of the options, detects formats, checks safety rules, cuts the split and runs the leak check.
  // Throws Error (exit 3) with file, object, expected and found; exit 2 for impossible options.
  static std::unique_ptr<Dataset> open(const DataOptions& options);
  virtual ~Dataset() = default;

  virtual const SetInfo& info() const = 0;
  virtual const std::vector<int64_t>& members(Split split) const = 0;  // trajectory indices, ascending
  virtual std::vector<double> params(int64_t trajectory) const = 0;    // in the order of info().param_names
  // Physical values of frames [first, first + count) of one trajectory: [count, C, X..].
  virtual void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) = 0;
  virtual void read_coeff(int64_t trajectory, std::span<float> out) = 0;  // [Cc, X..]
  virtual std::string split_hash() const = 0;                            // 32 hex digits
  virtual std::string split_json() const = 0;                            // canonical JSON text of split.json
  virtual int64_t bytes_on_disk() const = 0;
  virtual int64_t bytes_selected() const = 0;
  virtual int64_t bytes_resident() const = 0;
  virtual int64_t memory_budget() const { return int64_t{512} << 20; }  // data.memory_budget; prefetching takes a share of it
};

}  // namespace ups::data
