#include "ups/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "ups/core/error.h"
#include "ups/core/rng.h"

namespace ups::data {
namespace {

// (epoch, index) -> batch, without any state: any thread may call it in any order.
class BatchMaker {
 public:
  BatchMaker(Dataset& data, const Normalizer& normalizer, const LoaderSpec& spec)
      : data_(data), normalizer_(normalizer), spec_(spec), members_(data.members(spec.split)) {
    const SetInfo& info = data.info();
    if (spec.window < 1 || spec.stride < 1 || spec.batch_size < 1)
      throw usage_error("training", "batch size, window and stride must be positive");
    span_ = (spec.window - 1) * spec.stride;
    windows_ = info.frames - span_;
    if (windows_ < 1) {
      throw data_error(info.name, fmt::format("expected at least {} frames for windows of {} with stride {}, found {}{}",
          span_ + 1,
                                              spec.window, spec.stride, info.frames, info.steady ? " (a steady set)" : ""),
                       info.steady ? "steady sets feed the steady_prior stage only" : "lower the window or training.time_stride");
    }
    const uint64_t seed = sub_seed(sub_seed(spec.seed, "loader"), spec.stage);
    key_ = sub_seed(seed, to_string(spec.split));
    for (int64_t n : members_) {
      for (float v : normalizer.normalise_params(data.params(n))) params_.push_back(v);
    }
  }

  int64_t samples() const { return static_cast<int64_t>(members_.size()) * windows_; }
  int64_t batches() const {
    return spec_.drop_last ? samples() / spec_.batch_size : (samples() + spec_.batch_size - 1) / spec_.batch_size;
  }

  Batch make(int64_t epoch, int64_t index) const {
    const SetInfo& info = data_.info();
    const int64_t begin = index * spec_.batch_size, cells = info.cells();
    const size_t frame = static_cast<size_t>(info.channels * cells), coeff = static_cast<size_t>(info.coeff_channels * cells);
    const size_t params = info.param_names.size();
    Batch b;
    b.size = std::min(spec_.batch_size, samples() - begin);
    b.frames = spec_.window;
    const size_t size = static_cast<size_t>(b.size), window = static_cast<size_t>(spec_.window);
    b.fields.resize(size * window * frame);
    b.coeff.resize(size * coeff);
    b.params.resize(size * params);
    b.dt.assign(size, static_cast<float>(info.dt * static_cast<double>(spec_.stride)));
    b.trajectory.resize(size);
    b.first_frame.resize(size);
    const Permutation order(static_cast<uint64_t>(samples()), mix_seed(key_, static_cast<uint64_t>(epoch)));
    for (size_t i = 0; i < size; ++i) {
      const uint64_t position = static_cast<uint64_t>(begin) + i;
      const uint64_t sample = spec_.shuffle ? order(position) : position;
      const size_t member = static_cast<size_t>(sample / static_cast<uint64_t>(windows_));
      const int64_t n = members_[member], first = static_cast<int64_t>(sample % static_cast<uint64_t>(windows_));
      const std::span<float> fields = std::span<float>(b.fields).subspan(i * window * frame, window * frame);
      if (spec_.stride == 1) {
        data_.read(n, first, spec_.window, fields);
      } else {
        for (size_t t = 0; t < window; ++t) {
          data_.read(n, first + static_cast<int64_t>(t) * spec_.stride, 1, fields.subspan(t * frame, frame));
        }
      }
      if (coeff) data_.read_coeff(n, std::span<float>(b.coeff).subspan(i * coeff, coeff));
      std::copy_n(params_.begin() + static_cast<std::ptrdiff_t>(member * params), params,
                  b.params.begin() + static_cast<std::ptrdiff_t>(i * params));
      b.trajectory[i] = n;
      b.first_frame[i] = first;
    }
    normalizer_.apply(b.fields, info.channels, cells);
    if (coeff) normalizer_.apply_coeff(b.coeff, info.coeff_channels, cells);
    return b;
  }

  int64_t batch_bytes() const {
    const SetInfo& info = data_.info();
    return spec_.batch_size * (spec_.window * info.channels + info.coeff_channels) * info.cells() * static_cast<int64_t>(sizeof(float));
  }

 private:
  Dataset& data_;
  const Normalizer normalizer_;
  const LoaderSpec spec_;
  const std::vector<int64_t>& members_;
  int64_t span_ = 0, windows_ = 0;
  uint64_t key_ = 0;
  std::vector<float> params_;  // [members, P] normalised
};

}  // namespace

struct Loader::Impl {
  using Key = std::pair<int64_t, int64_t>;  // epoch, index
  struct Slot {
    std::optional<Batch> batch;
    std::exception_ptr error;
    bool done = false;
  };

  Impl(Dataset& data, const Normalizer& normalizer, LoaderSpec spec) : maker(data, normalizer, spec) {
    const int64_t left = std::max<int64_t>(data.memory_budget() - data.bytes_resident(), 0);
    depth = std::clamp<int64_t>(left / 4 / std::max<int64_t>(maker.batch_bytes(), 1), 1, 2 * spec.workers + 1);
    for (int64_t i = 0; i < spec.workers; ++i) threads.emplace_back([this] { work(); });
  }

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stop = true;
    }
    wake.notify_all();
    for (std::thread& t : threads) t.join();
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stop || !todo.empty(); });
      if (stop) return;
      const Key key = todo.front();
      todo.pop_front();
      lock.unlock();
      Slot result;
      try {
        result.batch = maker.make(key.first, key.second);
      } catch (...) {
        result.error = std::current_exception();
      }
      result.done = true;
      lock.lock();
      const auto it = slots.find(key);
      if (it != slots.end()) it->second = std::move(result);  // otherwise nobody wants it any more
      ready.notify_all();
    }
  }

  Key next(Key k) const { return k.second + 1 < maker.batches() ? Key{k.first, k.second + 1} : Key{k.first + 1, 0}; }

  Batch get(Key key) {
    if (threads.empty()) return maker.make(key.first, key.second);
    std::unique_lock<std::mutex> lock(mutex);
    if (slots.find(key) == slots.end()) {  // out of order: forget what was prefetched
      slots.clear();
      todo.clear();
      slots[key];
      todo.push_back(key);
    }
    Key ahead = key;
    for (int64_t i = 0; i < depth; ++i) {
      ahead = next(ahead);
      if (slots.find(ahead) != slots.end()) continue;
      slots[ahead];
      todo.push_back(ahead);
    }
    wake.notify_all();
    ready.wait(lock, [&] { return slots.find(key)->second.done; });
    Slot slot = std::move(slots.find(key)->second);
    slots.erase(key);
    lock.unlock();
    if (slot.error) std::rethrow_exception(slot.error);
    return std::move(*slot.batch);
  }

  BatchMaker maker;
  int64_t depth = 1;
  std::mutex mutex;
  std::condition_variable wake, ready;
  bool stop = false;
  std::deque<Key> todo;
  std::map<Key, Slot> slots;
  std::vector<std::thread> threads;
};

Loader::Loader(Dataset& data, const Normalizer& normalizer, LoaderSpec spec)
    : impl_(std::make_unique<Impl>(data, normalizer, std::move(spec))) {}
Loader::~Loader() = default;
int64_t Loader::samples() const { return impl_->maker.samples(); }
int64_t Loader::batches() const { return impl_->maker.batches(); }

Batch Loader::get(int64_t epoch, int64_t index) {
  if (epoch < 0 || index < 0 || index >= batches()) {
    throw data_error("loader", fmt::format("internal: batch {} of {} in epoch {}", index, batches(), epoch));
  }
  return impl_->get({epoch, index});
}

}  // namespace ups::data
