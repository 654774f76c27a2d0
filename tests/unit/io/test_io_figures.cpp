#include <zlib.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <numbers>

#include "test_common.h"
#include "ups/io/png.h"
#include "ups/io/svg.h"

using namespace ups;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

io::Chart demo(bool log) {
  io::Chart c;
  c.title = "rollout error growth, Burgers nu = 0.01";
  c.x.label = "frame";
  c.y = {.label = "nRMSE", .log = log, .min = {}, .max = {}};
  for (int k = 0; k < 3; ++k) {
    io::Series s{.name = k == 0   ? "operator"
                         : k == 1 ? "corrector (mean)"
                                  : "persistence",
                 .dashed = k == 2,
                 .markers = k == 1};
    for (int t = 1; t <= 31; ++t) {
      s.x.push_back(t);
      s.y.push_back(k == 2 ? 0.3 * (1 - std::exp(-t / 8.0)) : (k + 1) * 1e-3 * std::sqrt(t));
      if (k == 0) s.low.push_back(s.y.back() * 0.7), s.high.push_back(s.y.back() * 1.4);
    }
    c.series.push_back(s);
  }
  return c;
}

// UPS_KEEP_FIGURES=DIR keeps the pictures for a look.
void keep(const std::string& name, const std::string& text) {
  if (const char* dir = std::getenv("UPS_KEEP_FIGURES"))
    std::ofstream(std::string(dir) + "/" + name, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("charts draw every series and never write NaN") {
  for (const bool log : {false, true}) {
    const std::string svg = io::render_chart(demo(log));
    keep(log ? "log.svg" : "linear.svg", svg);
    CHECK(count(svg, "stroke-width=\"1.8\"") == 3);
    CHECK(count(svg, "<circle") == 31);
    CHECK(count(svg, "fill-opacity=\"0.15\"") == 1);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
  }
  CHECK(count(io::render_charts({demo(false), demo(true), demo(true)}, 2), "<title>") == 3);
  keep("three.svg", io::render_charts({demo(false), demo(true), demo(true)}, 2));
}

TEST_CASE("charts of awkward data") {
  io::Chart c;
  CHECK_THAT(io::render_chart(c), Catch::Contains("no data"));
  c.series = {{.name = "empty", .x = {}, .y = {}}};
  CHECK_THAT(io::render_chart(c), Catch::Contains("no data"));
  c.series = {{.name = "one", .x = {3}, .y = {5}}};
  CHECK(count(io::render_chart(c), "<circle") == 1);
  c.series = {{.name = "broken", .x = {1, 2, 3, 4, 5}, .y = {1, 2, kNan, 4, 5}}};
  const std::string broken = io::render_chart(c);
  const std::string path = broken.substr(broken.find("<path d=\"M"));
  CHECK(count(path.substr(0, path.find('>')), "M") == 2);
  c.y.log = true;
  c.series = {{.name = "not positive", .x = {1, 2, 3}, .y = {0, -1, kNan}}};
  CHECK_THAT(io::render_chart(c), Catch::Contains("no data"));
  c.y.log = false;
  c.series = {{.name = "huge", .x = {1, 2}, .y = {-1e308, 1e308}}, {.name = "equal", .x = {1, 2}, .y = {7, 7}}};
  CHECK(io::render_chart(c).find("inf") == std::string::npos);
  c.series = {{.name = "equal", .x = {1, 1}, .y = {0, 0}}};
  CHECK(io::render_chart(c).find("nan") == std::string::npos);
  c.title = "</title><script>alert(1)</script>";
  c.series[0].name = "\"><img src=x onerror=1>";
  c.series[0].color = "\"/><script>";
  const std::string svg = io::render_chart(c);
  CHECK(svg.find("<script") == std::string::npos);
  CHECK(svg.find("<img") == std::string::npos);
}

TEST_CASE("a million points shrink to two thousand and keep their extremes") {
  io::Chart c;
  io::Series s;
  for (int i = 0; i < 1'000'000; ++i) {
    s.x.push_back(i);
    s.y.push_back(i == 123456 ? 50 : i % 3 == 0 ? kNan : std::sin(i * 1e-4));
  }
  c.series = {s};
  const std::string svg = io::render_chart(c);
  const size_t at = svg.find("<path d=\"");
  const std::string path = svg.substr(at, svg.find('>', at) - at);
  const size_t points = count(path, "M") + count(path, "L");
  CHECK(points > 1000);
  CHECK(points <= 2000);
  CHECK(svg.size() < 100000);
  c.series[0].y[123456] = 1;
  CHECK(io::render_chart(c) != svg);  // the single spike was visible
}

TEST_CASE("PNG files decode to the pixels that went in") {
  io::Image image{5, 3, {}};
  for (int i = 0; i < 45; ++i) image.rgb.push_back(static_cast<uint8_t>(i * 37));
  const std::string png = io::encode_png(image);
  CHECK(png.substr(0, 8) == std::string("\x89PNG\r\n\x1a\n", 8));
  const size_t at = png.find("IDAT");
  REQUIRE(at != std::string::npos);
  const auto byte = [&](size_t k) { return static_cast<uint8_t>(png[k]); };
  const uint32_t size =
      uint32_t{byte(at - 4)} << 24 | uint32_t{byte(at - 3)} << 16 | uint32_t{byte(at - 2)} << 8 | byte(at - 1);
  std::string raw(3 * 16, '\0');
  uLongf n = raw.size();
  REQUIRE(::uncompress(reinterpret_cast<Bytef*>(raw.data()), &n, reinterpret_cast<const Bytef*>(png.data() + at + 4),
                       size) == Z_OK);
  REQUIRE(n == raw.size());
  for (size_t r = 0; r < 3; ++r) {
    CHECK(raw[r * 16] == 1);  // filter Sub
    for (size_t i = 0; i < 15; ++i) {
      const int left = i >= 3 ? image.rgb[r * 15 + i - 3] : 0;
      CHECK(static_cast<uint8_t>(raw[r * 16 + 1 + i] + left) == image.rgb[r * 15 + i]);
    }
  }
  const uLong crc = ::crc32(0, reinterpret_cast<const Bytef*>(png.data() + at), size + 4);
  uint32_t stored = 0;
  for (size_t k = 0; k < 4; ++k) stored = stored << 8 | byte(at + 4 + size + k);
  CHECK(stored == crc);
  CHECK(io::base64("Man") == "TWFu");
  CHECK(io::base64("Ma") == "TWE=");
  CHECK(io::base64("M") == "TQ==");
  CHECK(io::base64("").empty());
}

TEST_CASE("the sequential colours get steadily lighter") {
  double last = -1;
  for (int i = 0; i <= 100; ++i) {
    const auto c = io::colour(i / 100.0, io::ColourMap::sequential);
    const double luma =
        0.2126 * std::pow(c[0] / 255.0, 2.2) + 0.7152 * std::pow(c[1] / 255.0, 2.2) + 0.0722 * std::pow(c[2] / 255.0, 2.2);
    CHECK(luma > last);
    last = luma;
  }
  CHECK(io::colour(kNan, io::ColourMap::sequential) == std::array<uint8_t, 3>{128, 128, 128});
  const auto blue = io::colour(0, io::ColourMap::diverging), red = io::colour(1, io::ColourMap::diverging);
  CHECK(blue[2] > blue[0]);
  CHECK(red[0] > red[2]);
}

TEST_CASE("fields of different ranges render, also empty and non-finite ones") {
  io::FieldFigure f;
  f.title = "Darcy, test sample 17";
  f.x_label = "x";
  f.y_label = "y";
  f.panels.resize(1);
  for (int k = 0; k < 3; ++k) {
    io::FieldPanel p{.title = k == 0 ? "truth" : k == 1 ? "prediction" : "error", .rows = 48, .cols = 64};
    for (int i = 0; i < 48; ++i) {
      for (int j = 0; j < 64; ++j) {
        const double v = std::sin(j * 0.1) * std::cos(i * 0.13);
        p.values.push_back(static_cast<float>(k == 2 ? 0.01 * std::sin(7 * v) : v));
      }
    }
    if (k == 2) p.map = io::ColourMap::diverging, p.low = -0.01, p.high = 0.01;
    f.panels[0].push_back(p);
  }
  const std::string svg = io::render_fields(f);
  keep("fields.svg", svg);
  CHECK(count(svg, "data:image/png;base64,") == 6);
  f.panels = {{{.title = "nan", .rows = 1, .cols = 2, .values = {std::nanf(""), std::nanf("")}}, {.title = "empty"}}};
  CHECK(io::render_fields(f).find("nan\"") == std::string::npos);
}
