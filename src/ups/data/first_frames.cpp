#include "ups/data/first_frames.h"

#include <fmt/format.h>

#include <cassert>

#include "ups/core/error.h"

namespace ups::data {
namespace {

class FirstFrames : public Dataset {
 public:
  FirstFrames(std::shared_ptr<Dataset> whole, int64_t n) : whole_(std::move(whole)), info_(whole_->info()) {
    info_.frames = n;
    if (info_.time.size() > static_cast<size_t>(n)) info_.time.resize(static_cast<size_t>(n));
  }
  const SetInfo& info() const override { return info_; }
  const std::vector<int64_t>& members(Split split) const override { return whole_->members(split); }
  std::vector<double> params(int64_t trajectory) const override { return whole_->params(trajectory); }
  void read(int64_t trajectory, int64_t first, int64_t count, std::span<float> out) override {
    assert(first >= 0 && first + count <= info_.frames);
    whole_->read(trajectory, first, count, out);
  }
  void read_coeff(int64_t trajectory, std::span<float> out) override { whole_->read_coeff(trajectory, out); }
  std::string split_hash() const override { return whole_->split_hash(); }
  std::string split_json() const override { return whole_->split_json(); }
  int64_t bytes_on_disk() const override { return whole_->bytes_on_disk(); }
  int64_t bytes_selected() const override { return whole_->bytes_selected() / whole_->info().frames * info_.frames; }
  int64_t bytes_resident() const override { return whole_->bytes_resident(); }
  int64_t memory_budget() const override { return whole_->memory_budget(); }

 private:
  const std::shared_ptr<Dataset> whole_;
  SetInfo info_;
};

}  // namespace

std::shared_ptr<Dataset> first_frames(std::shared_ptr<Dataset> whole, int64_t n) {
  const SetInfo& info = whole->info();
  if (info.steady) throw usage_error("data.train_frames", "is for sets with time, " + info.name + " is steady", "remove it");
  if (n < 2 || n > info.frames)
    throw usage_error("data.train_frames", fmt::format("is {}; the set {} has {} frames", n, info.name, info.frames), fmt::format("choose 2 to {}", info.frames));
  if (n == info.frames) return whole;
  return std::make_shared<FirstFrames>(std::move(whole), n);
}

}  // namespace ups::data
