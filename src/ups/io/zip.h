// Zip archives of stored (uncompressed) entries, as torch.save makes them. LibTorch's own reader skips the CRC check and trusts sizes.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ups/io/files.h"

namespace ups::io {

// Entries of one archive by their name below the archive's single top folder ("data.pkl", "data/0").
class ZipReader {
 public:
  // bytes: the whole file, which must outlive the reader. Throws Error (exit 4): not a zip, compressed or encrypted entries, names
  // outside the top folder, overlapping or out-of-range entries, duplicate names.
  ZipReader(std::span<const char> bytes, std::string place);
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  // The entry's bytes, CRC-32 checked on the first read. A missing name is exit 4.
  std::span<const char> read(const std::string& name);

 private:
  struct Entry {
    uint64_t offset = 0, size = 0;
    uint32_t crc = 0;
    bool checked = false;
  };
  [[noreturn]] void refuse(const std::string& what) const;
  uint64_t number(uint64_t at, int width) const;  // little-endian, bounds-checked
  void find_directory(uint64_t& count, uint64_t& offset, uint64_t& size) const;
  std::span<const char> bytes_;
  std::string place_;
  std::map<std::string, Entry> entries_;
};

// Writes stored entries whose data starts at multiples of 64 bytes (torch.load(mmap=True) wants that). At most 4 GiB in all.
class ZipWriter {
 public:
  ZipWriter(OutputFile& file, std::string top) : file_(file), top_(std::move(top)) {}
  void add(const std::string& name, const void* data, size_t bytes);
  void finish();

 private:
  struct Entry {
    std::string name;
    uint64_t offset, size;
    uint32_t crc;
  };
  OutputFile& file_;
  std::string top_;
  std::vector<Entry> entries_;
};

}  // namespace ups::io
