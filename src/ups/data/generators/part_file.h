// Finished blocks of samples on their way to the final file, so that a killed job can continue.
// Layout: "UPSPART1" and a 32-digit key of the request, then per block its float values and their XXH3-64.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ups::data {

class PartFile {
 public:
  // resume: keeps the complete, intact blocks of an earlier run with the same key; another key is exit 2. Otherwise starts anew.
  // Locked against other processes (exit 8).
  PartFile(std::string path, const std::string& key, int64_t floats_per_block, bool resume);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  int64_t blocks() const { return blocks_; }
  void append(std::span<const float> block);
  std::vector<float> read(int64_t block) const;  // throws Error (exit 7) if it was damaged
  void remove();

 private:
  int64_t offset(int64_t block) const;
  [[noreturn]] void fail(const std::string& doing) const;
  std::string path_;
  int64_t floats_, blocks_ = 0;
  int fd_ = -1;
};

}  // namespace ups::data
