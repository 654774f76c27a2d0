// The driver: blocks in parallel, in order to the part file, then one pass into the final HDF5 file.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/log.h"
#include "ups/data/generators/generators.h"
#include "ups/data/generators/part_file.h"
#include "ups/data/generators/write_file.h"

namespace ups::data {
namespace {

namespace fs = std::filesystem;

// Everything that determines the samples, but not their number.
std::string request_key(const GenerateSettings& s) {
  std::string text = fmt::format("{} {} seed={} ic={} nx={} stride={} t_end={:a} save={:a}", kGeneratorVersion, s.name, s.seed, s.ic,
                                 s.nx, s.stride_x, s.t_end, s.save_every);
  for (const auto& [name, value] : s.params) text += fmt::format(" {}={:a}", name, value);
  return hash128_hex(text);
}

std::vector<float> to_floats(const std::vector<Sample>& block, uint64_t first, const std::string& name) {
  std::vector<float> out;
  for (size_t i = 0; i < block.size(); ++i) {
    for (const auto* values : {&block[i].frames, &block[i].coeff}) {
      for (const double v : *values) {
        if (!(std::abs(v) < 1e30)) {
          throw Error(ExitCode::diverged, fmt::format("{} sample {}", name, first + i), fmt::format("the solution became {}", v),
                      "the parameters ask for more resolution than the solver has; milder ones will do");
        }
        out.push_back(static_cast<float>(v));
      }
    }
  }
  return out;
}

// Workers take the next block index; the calling thread appends results in order.
class BlockQueue {
 public:
  BlockQueue(int64_t first, int64_t end, int64_t ahead) : next_(first), written_(first), end_(end), ahead_(ahead) {}

  // -1 when there is nothing left. Waits while too many results are pending.
  int64_t take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || next_ >= end_ || next_ < written_ + ahead_; });
    return error_ || next_ >= end_ ? -1 : next_++;
  }
  void put(int64_t index, std::vector<float> values) {
    const std::lock_guard lock(mutex_);
    ready_.emplace(index, std::move(values));
    changed_.notify_all();
  }
  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    changed_.notify_all();
  }
  // The result of the next block in order; rethrows a worker's error once everything before it was delivered.
  std::vector<float> next_in_order() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || ready_.count(written_) > 0; });
    const auto found = ready_.find(written_);
    if (found == ready_.end()) std::rethrow_exception(error_);
    std::vector<float> values = std::move(found->second);
    ready_.erase(found);
    ++written_;
    changed_.notify_all();
    return values;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, std::vector<float>> ready_;
  std::exception_ptr error_;
  int64_t next_, written_, end_, ahead_;
};

// A line every few seconds: "burgers1d: 512 of 1024 samples, 6 s, about 6 s left".
class Progress {
 public:
  Progress(std::string name, int64_t total, int64_t done) : name_(std::move(name)), total_(total), first_(done) {}
  void update(int64_t done) {
    const auto now = Clock::now();
    if (now - last_ < std::chrono::seconds(2)) return;
    last_ = now;
    const double spent = seconds(), rest = spent * static_cast<double>(total_ - done) / static_cast<double>(std::max<int64_t>(1, done - first_));
    log::info(fmt::format("{}: {} of {} samples, {:.0f} s, about {:.0f} s left", name_, done, total_, spent, rest));
  }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  std::string name_;
  int64_t total_, first_;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

void make_blocks(const GeneratorInfo& info, const GenerateSettings& settings, const GenerateOptions& options, int64_t blocks,
                 int64_t block_size, PartFile& part, Progress& progress) {
  const int64_t missing = blocks - part.blocks();
  int64_t threads = options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  threads = std::min(threads, missing);
  if (missing <= 0) return;
  BlockQueue queue(part.blocks(), blocks, 4 * threads);
  std::vector<std::thread> workers;
  for (int64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&] {
      try {
        const auto generator = info.make(settings);
        for (int64_t b = queue.take(); b >= 0; b = queue.take()) {
          queue.put(b, to_floats(generator->block(static_cast<uint64_t>(b)), static_cast<uint64_t>(b * block_size), info.name));
        }
      } catch (...) {
        queue.fail(std::current_exception());
      }
    });
  }
  std::exception_ptr error;
  try {
    while (part.blocks() < blocks) {
      part.append(queue.next_in_order());
      progress.update(std::min(options.count, part.blocks() * block_size));
    }
  } catch (...) {
    error = std::current_exception();
    queue.fail(error);
  }
  for (std::thread& w : workers) w.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace

void generate(const GenerateOptions& options) {
  const GeneratorInfo& info = find_generator(options.name);
  const GenerateSettings settings = resolve(options);
  if (options.out.empty()) throw usage_error("-o", "an output file is needed", "for example -o " + info.name + ".hdf5");
  if (fs::is_directory(options.out)) throw usage_error("-o", options.out + " is a folder", "name a file in it");
  if (fs::exists(options.out) && !options.overwrite) {
    throw usage_error("-o", options.out + " exists", "choose another name, or replace it with --overwrite");
  }
  const auto generator = info.make(settings);
  const int64_t block_size = generator->block_size(), blocks = (options.count + block_size - 1) / block_size;
  PartFile part(options.out + ".part", request_key(settings), block_size * floats_per_sample(info, settings), options.resume);
  if (part.blocks() > 0) log::info(fmt::format("{}: {} samples are there already", info.name, part.blocks() * block_size));
  Progress progress(info.name, options.count, part.blocks() * block_size);
  make_blocks(info, settings, options, blocks, block_size, part, progress);
  write_data_file(options.out, info, settings, *generator, options.count, part);
  part.remove();
  log::info(fmt::format("{}: wrote {} samples to {} in {:.1f} s", info.name, options.count, options.out, progress.seconds()));
}

}  // namespace ups::data
