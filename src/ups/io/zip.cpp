#include "ups/io/zip.h"

#include <zlib.h>

#include <algorithm>

#include "ups/core/error.h"

namespace ups::io {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr uint64_t kMaxEntries = 50'000;

uint32_t crc_of(const void* data, size_t bytes) {
  uLong crc = ::crc32(0, nullptr, 0);
  const auto* p = static_cast<const Bytef*>(data);
  while (bytes > 0) {
    const auto n = static_cast<uInt>(std::min<size_t>(bytes, 1u << 30));
    crc = ::crc32(crc, p, n);
    p += n;
    bytes -= n;
  }
  return static_cast<uint32_t>(crc);
}

void put(std::string& out, uint64_t value, int width) {
  for (int i = 0; i < width; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

}  // namespace

void ZipReader::refuse(const std::string& what) const {
  throw checkpoint_error(place_, "damaged or foreign .pt file: " + what);
}

uint64_t ZipReader::number(uint64_t at, int width) const {
  if (at > bytes_.size() || static_cast<uint64_t>(width) > bytes_.size() - at) refuse("truncated");
  uint64_t v = 0;
  for (int i = 0; i < width; ++i)
    v |= uint64_t{static_cast<unsigned char>(bytes_[at + static_cast<uint64_t>(i)])} << (8 * i);
  return v;
}

void ZipReader::find_directory(uint64_t& count, uint64_t& offset, uint64_t& size) const {
  if (bytes_.size() < 22) refuse("too short for a zip archive");
  uint64_t end = bytes_.size() - 22;
  const uint64_t stop = end > 65535 ? end - 65535 : 0;
  while (number(end, 4) != kEnd) {
    if (end == stop) refuse("not a zip archive (torch.save files before 1.6 are not supported)");
    --end;
  }
  count = number(end + 10, 2);
  size = number(end + 12, 4);
  offset = number(end + 16, 4);
  if (number(end + 4, 2) != 0 && number(end + 4, 2) != 0xffff) refuse("split over several disks");
  if (count == 0xffff || size == 0xffffffff || offset == 0xffffffff) {
    if (end < 20 || number(end - 20, 4) != kLocator64) refuse("the zip64 locator is missing");
    const uint64_t end64 = number(end - 12, 8);
    if (number(end64, 4) != kEnd64) refuse("the zip64 record is missing");
    count = number(end64 + 32, 8);
    size = number(end64 + 40, 8);
    offset = number(end64 + 48, 8);
  }
  if (count > kMaxEntries) refuse("more than 50000 entries");
  if (offset > bytes_.size() || size > bytes_.size() - offset) refuse("the directory lies outside the file");
}

ZipReader::ZipReader(std::span<const char> bytes, std::string place) : bytes_(bytes), place_(std::move(place)) {
  uint64_t count = 0, directory = 0, directory_size = 0;
  find_directory(count, directory, directory_size);
  std::string top;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;  // local header .. end of data
  uint64_t at = directory;
  for (uint64_t k = 0; k < count; ++k) {
    if (number(at, 4) != kCentral) refuse("bad directory entry");
    const uint64_t flags = number(at + 8, 2), method = number(at + 10, 2);
    const uint64_t name_size = number(at + 28, 2), extra_size = number(at + 30, 2), comment_size = number(at + 32, 2);
    uint64_t stored = number(at + 20, 4), size = number(at + 24, 4), local = number(at + 42, 4);
    Entry entry;
    entry.crc = static_cast<uint32_t>(number(at + 16, 4));
    number(at + 46 + name_size + extra_size, 0);  // bounds of the name and the extra fields
    const std::string name(bytes_.data() + at + 46, name_size);
    for (uint64_t x = at + 46 + name_size, x_end = x + extra_size; x + 4 <= x_end;) {
      const uint64_t id = number(x, 2), n = number(x + 2, 2);
      if (id == 1) {  // zip64: 8-byte values in this order, each only where the 4-byte field is saturated
        uint64_t p = x + 4;
        for (uint64_t* field : {&size, &stored, &local}) {
          if (*field != 0xffffffff) continue;
          *field = number(p, 8);
          p += 8;
        }
      }
      x += 4 + n;
    }
    at += 46 + name_size + extra_size + comment_size;
    if ((flags & 1) != 0) refuse("entry '" + name + "' is encrypted");
    if (method != 0 || stored != size) refuse("entry '" + name + "' is compressed");
    const size_t slash = name.find('/');
    if (slash == std::string::npos || slash == 0) refuse("entry '" + name + "' lies outside the archive's folder");
    if (top.empty()) top = name.substr(0, slash + 1);
    if (name.compare(0, top.size(), top) != 0 || name.find("..") != std::string::npos ||
        name.find('\0') != std::string::npos)
      refuse("entry '" + name + "' lies outside the archive's folder");
    if (number(local, 4) != kLocal || number(local + 26, 2) != name_size)
      refuse("entry '" + name + "' has no local header");
    number(local + 30, 0);
    if (std::string_view(bytes_.data() + local + 30, std::min(name_size, bytes_.size() - local - 30)) != name)
      refuse("entry '" + name + "' has another name in its local header");
    entry.offset = local + 30 + name_size + number(local + 28, 2);
    entry.size = size;
    if (entry.offset > bytes_.size() || size > bytes_.size() - entry.offset)
      refuse("entry '" + name + "' lies outside the file");
    ranges.emplace_back(local, entry.offset + size);
    if (!entries_.emplace(name.substr(top.size()), entry).second) refuse("two entries are named '" + name + "'");
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].first < ranges[i - 1].second) refuse("entries overlap");
}

std::span<const char> ZipReader::read(const std::string& name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) refuse("entry '" + name + "' is missing");
  Entry& e = it->second;
  const auto data = bytes_.subspan(e.offset, e.size);
  if (!e.checked && crc_of(data.data(), data.size()) != e.crc) refuse("checksum of entry '" + name + "' does not match");
  e.checked = true;
  return data;
}

void ZipWriter::add(const std::string& name, const void* data, size_t bytes) {
  Entry e{top_ + "/" + name, file_.bytes(), bytes, crc_of(data, bytes)};
  if (e.offset + bytes + 65536 > UINT32_MAX)
    throw io_error(file_.place(), "would exceed 4 GiB", "export safetensors instead");
  const uint64_t before = e.offset + 30 + e.name.size() + 4;  // with an empty padding field
  const uint64_t padding = (64 - before % 64) % 64;
  std::string header;
  put(header, kLocal, 4);
  put(header, 20, 2);      // version needed
  put(header, 0x0800, 2);  // names are UTF-8
  put(header, 0, 2);       // stored
  put(header, 0, 2);       // time: fixed, so equal weights make equal files
  put(header, 0x21, 2);    // date: 1980-01-01
  put(header, e.crc, 4);
  put(header, bytes, 4);
  put(header, bytes, 4);
  put(header, e.name.size(), 2);
  put(header, 4 + padding, 2);
  header += e.name;
  header += "FB";  // PyTorch's padding field
  put(header, padding, 2);
  header.append(padding, 'Z');
  file_.write(header);
  file_.write(data, bytes);
  entries_.push_back(std::move(e));
}

void ZipWriter::finish() {
  const uint64_t start = file_.bytes();
  std::string out;
  for (const auto& e : entries_) {
    put(out, kCentral, 4);
    put(out, 20, 2);
    put(out, 20, 2);
    put(out, 0x0800, 2);
    put(out, 0, 2);
    put(out, 0, 2);
    put(out, 0x21, 2);
    put(out, e.crc, 4);
    put(out, e.size, 4);
    put(out, e.size, 4);
    put(out, e.name.size(), 2);
    out.append(2 + 2 + 2 + 2 + 4, '\0');  // extra, comment, disk, attributes
    put(out, e.offset, 4);
    out += e.name;
  }
  const uint64_t size = out.size();
  if (start + size > UINT32_MAX || entries_.size() >= 0xffff)
    throw io_error(file_.place(), "would exceed 4 GiB or 65534 tensors", "export safetensors instead");
  put(out, kEnd, 4);
  put(out, 0, 4);
  put(out, entries_.size(), 2);
  put(out, entries_.size(), 2);
  put(out, size, 4);
  put(out, start, 4);
  put(out, 0, 2);
  file_.write(out);
}

}  // namespace ups::io
