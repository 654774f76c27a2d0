#include "ups/io/png.h"

#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "ups/io/files.h"

namespace ups::io {
namespace {

struct Lab {
  double l, a, b;
};

// OKLab to sRGB (B. Ottosson, 2020); out-of-gamut channels are clipped.
std::array<uint8_t, 3> to_srgb(const Lab& c) {
  const double l = std::pow(c.l + 0.3963377774 * c.a + 0.2158037573 * c.b, 3);
  const double m = std::pow(c.l - 0.1055613458 * c.a - 0.0638541728 * c.b, 3);
  const double s = std::pow(c.l - 0.0894841775 * c.a - 1.2914855480 * c.b, 3);
  const double linear[3] = {4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
                            -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
                            -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s};
  std::array<uint8_t, 3> out{};
  for (size_t i = 0; i < 3; ++i) {
    const double x = std::clamp(linear[i], 0.0, 1.0);
    const double v = x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055;
    out[i] = static_cast<uint8_t>(std::lround(255 * v));
  }
  return out;
}

Lab from_lch(double lightness, double chroma, double degrees) {
  const double h = degrees * std::numbers::pi / 180;
  return {lightness, chroma * std::cos(h), chroma * std::sin(h)};
}

void put32(std::string& out, uint32_t v) {
  for (int i = 3; i >= 0; --i) out += static_cast<char>(v >> (8 * i) & 0xff);
}

void chunk(std::string& out, const char* type, const std::string& data) {
  put32(out, static_cast<uint32_t>(data.size()));
  const std::string body = std::string(type, 4) + data;
  out += body;
  put32(out,
        static_cast<uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()))));
}

}  // namespace

std::array<uint8_t, 3> colour(double t, ColourMap map) {
  if (std::isnan(t)) return {128, 128, 128};
  t = std::clamp(t, 0.0, 1.0);
  if (map == ColourMap::sequential) {
    // Lightness rises evenly; hue runs from violet through blue and green to yellow; chroma peaks in the middle of the
    // gamut.
    return to_srgb(from_lch(0.27 + 0.64 * t, 0.11 + 0.06 * t, 295 - 188 * t));
  }
  const double side = std::abs(2 * t - 1);  // 0 in the middle
  return to_srgb(from_lch(0.96 - 0.48 * side, 0.17 * std::pow(side, 0.9), t < 0.5 ? 255 : 27));
}

Image colour_image(std::span<const float> values, int64_t rows, int64_t cols, double low, double high, ColourMap map,
                   bool flip) {
  assert(static_cast<int64_t>(values.size()) == rows * cols);
  std::array<std::array<uint8_t, 3>, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = colour(static_cast<double>(i) / 255, map);
  Image image{cols, rows, {}};
  image.rgb.reserve(values.size() * 3);
  const double scale = high > low ? 255 / (high - low) : 0;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = flip ? rows - 1 - r : r;
    for (int64_t c = 0; c < cols; ++c) {
      const double v = values[static_cast<size_t>(row * cols + c)];
      const auto rgb =
          std::isnan(v)
              ? colour(v, map)
              : table[static_cast<size_t>(std::lround(std::clamp(scale > 0 ? (v - low) * scale : 127.5, 0.0, 255.0)))];
      image.rgb.insert(image.rgb.end(), rgb.begin(), rgb.end());
    }
  }
  return image;
}

std::string encode_png(const Image& image) {
  assert(image.width > 0 && image.height > 0 && image.width < 65536 && image.height < 65536);
  const auto stride = static_cast<size_t>(image.width) * 3;
  std::string raw;
  raw.reserve((stride + 1) * static_cast<size_t>(image.height));
  for (size_t r = 0; r < static_cast<size_t>(image.height); ++r) {
    raw += '\1';  // filter Sub: smooth fields compress better as differences
    const uint8_t* row = image.rgb.data() + r * stride;
    for (size_t i = 0; i < stride; ++i) raw += static_cast<char>(row[i] - (i >= 3 ? row[i - 3] : 0));
  }
  uLongf size = ::compressBound(static_cast<uLong>(raw.size()));
  std::string packed(size, '\0');
  const int rc = ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(raw.data()),
                             static_cast<uLong>(raw.size()), 9);
  if (rc != Z_OK) throw std::bad_alloc();  // the only way compress2 fails with a bounded buffer
  packed.resize(size);
  std::string out("\x89PNG\r\n\x1a\n", 8), header;
  put32(header, static_cast<uint32_t>(image.width));
  put32(header, static_cast<uint32_t>(image.height));
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB, deflate, adaptive filters, no interlace
  chunk(out, "IHDR", header);
  chunk(out, "IDAT", packed);
  chunk(out, "IEND", {});
  return out;
}

void write_png(const std::filesystem::path& path, const Image& image) { write_text_atomic(path, encode_png(image)); }

std::string base64(const std::string& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t v = 0;
    for (size_t k = 0; k < 3; ++k) v = v << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[v >> (18 - 6 * k) & 63];
  }
  return out;
}

}  // namespace ups::io
