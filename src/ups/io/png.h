// PNG images of fields: 8-bit RGB, zlib-compressed, and two colour maps made of even OKLab steps.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ups::io {

// sequential: dark blue-violet to yellow with evenly rising lightness. diverging: blue, near-white at the middle, red.
enum class ColourMap { sequential, diverging };

// t in [0, 1], clamped; NaN is mid-grey.
std::array<uint8_t, 3> colour(double t, ColourMap map);

struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3], top row first
};

// values: [rows, cols]; low and high map to the ends of the colour map. flip puts row 0 at the bottom (y or t pointing up).
Image colour_image(std::span<const float> values, int64_t rows, int64_t cols, double low, double high, ColourMap map, bool flip = true);

std::string encode_png(const Image& image);
void write_png(const std::filesystem::path& path, const Image& image);  // atomic
std::string base64(const std::string& bytes);

}  // namespace ups::io
