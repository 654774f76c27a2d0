#include "ups/io/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ups/core/text.h"
#include "ups/io/svg_axis.h"

namespace ups::io {
namespace {

using detail::fixed;
using detail::Scale;

// Distinct for the common kinds of colour blindness and in grey.
constexpr std::array<const char*, 8> kPalette{"#2456a6", "#d1491b", "#1b8a5a", "#8a3fa0",
                                              "#b8860b", "#0f8ea8", "#c2337a", "#5b6470"};
constexpr const char* kFont = "font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif\"";

struct Point {
  double x, y;
  bool shown;
};

std::vector<Point> decimate(const Series& s, const std::vector<double>& y, const Scale& sx, const Scale& sy) {
  const size_t n = std::min(s.x.size(), y.size());
  std::vector<Point> all;
  all.reserve(n);
  for (size_t i = 0; i < n; ++i) all.push_back({s.x[i], y[i], sx.shows(s.x[i]) && sy.shows(y[i])});
  if (n <= 2000) return all;
  std::vector<Point> out;
  const size_t piece = (n + 999) / 1000;
  for (size_t a = 0; a < n; a += piece) {
    const size_t b = std::min(n, a + piece);
    size_t lo = b, hi = b;
    for (size_t i = a; i < b; ++i) {
      if (!all[i].shown) continue;
      if (lo == b || all[i].y < all[lo].y) lo = i;
      if (hi == b || all[i].y > all[hi].y) hi = i;
    }
    if (lo == b) {
      out.push_back({0, 0, false});
      continue;
    }
    out.push_back(all[std::min(lo, hi)]);
    if (lo != hi) out.push_back(all[std::max(lo, hi)]);
  }
  return out;
}

std::string clip_label(const std::string& text, size_t bytes) { return escape_xml(clip_text(escape_text(text), bytes)); }

std::string text_at(double x, double y, const std::string& anchor, int size, const std::string& content,
                    const std::string& extra = {}) {
  return "<text x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" text-anchor=\"" + anchor + "\" font-size=\"" +
         std::to_string(size) + "\"" + extra + ">" + content + "</text>\n";
}

std::string draw_series(const Series& s, const std::string& color, const Scale& sx, const Scale& sy) {
  std::string out;
  if (!s.low.empty() && s.low.size() == s.high.size()) {
    const auto lower = decimate(s, s.low, sx, sy), upper = decimate(s, s.high, sx, sy);
    std::string path;
    for (const auto& p : upper)
      if (p.shown) path += (path.empty() ? "M" : "L") + fixed(sx(p.x)) + " " + fixed(sy(p.y));
    for (size_t i = lower.size(); i-- > 0;)
      if (lower[i].shown) path += (path.empty() ? "M" : "L") + fixed(sx(lower[i].x)) + " " + fixed(sy(lower[i].y));
    if (!path.empty()) out += "<path d=\"" + path + "Z\" fill=\"" + color + "\" fill-opacity=\"0.15\" stroke=\"none\"/>\n";
  }
  const auto points = decimate(s, s.y, sx, sy);
  std::string path, dots;
  for (size_t i = 0; i < points.size(); ++i) {
    if (!points[i].shown) continue;
    const bool starts = i == 0 || !points[i - 1].shown;
    const bool lonely = starts && (i + 1 == points.size() || !points[i + 1].shown);
    const std::string at = fixed(sx(points[i].x)) + " " + fixed(sy(points[i].y));
    path += (starts ? "M" : "L") + at;
    if (lonely || (s.markers && points.size() <= 200))
      dots += "<circle cx=\"" + fixed(sx(points[i].x)) + "\" cy=\"" + fixed(sy(points[i].y)) + "\" r=\"3\" fill=\"" +
              color + "\"/>\n";
  }
  if (!path.empty()) {
    out += "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + color +
           "\" stroke-width=\"1.8\" stroke-linejoin=\"round\"" + (s.dashed ? " stroke-dasharray=\"6 4\"" : "") + "/>\n";
  }
  return out + dots;
}

// The inside of one chart, drawn at the origin.
std::string chart_body(const Chart& c, int id) {
  size_t longest = 0;
  for (const auto& s : c.series) longest = std::max(longest, std::min<size_t>(s.name.size(), 30));
  const bool legend = c.series.size() > 1 || (c.series.size() == 1 && !c.series[0].name.empty());
  const double left = 68, top = c.title.empty() ? 18 : 40, bottom = c.height - 48;
  const double right = c.width - (legend ? 40 + 7.6 * static_cast<double>(longest) : 18);
  std::vector<const std::vector<double>*> xs, ys;
  for (const auto& s : c.series) {
    xs.push_back(&s.x);
    for (const auto* y : {&s.y, &s.low, &s.high}) ys.push_back(y);
  }
  const Scale sx = detail::make_scale(c.x, xs, left, right), sy = detail::make_scale(c.y, ys, bottom, top);
  std::string out = "<title>" + clip_label(c.title.empty() ? "chart" : c.title, 200) + "</title>\n";
  out += "<rect width=\"" + std::to_string(c.width) + "\" height=\"" + std::to_string(c.height) + "\" fill=\"#ffffff\"/>\n";
  if (!c.title.empty())
    out += text_at((left + right) / 2, 22, "middle", 15, clip_label(c.title, 110), " font-weight=\"600\"");
  for (const auto& t : sx.ticks(std::max(2, static_cast<int>((right - left) / 80)))) {
    const std::string x = fixed(sx(t.value));
    out += "<line x1=\"" + x + "\" x2=\"" + x + "\" y1=\"" + fixed(top) + "\" y2=\"" + fixed(bottom) + "\" stroke=\"" +
           (t.label.empty() ? "#f2f3f5" : "#e2e5e9") + "\"/>\n";
    if (!t.label.empty()) out += text_at(sx(t.value), bottom + 17, "middle", 12, t.label);
  }
  for (const auto& t : sy.ticks(std::max(2, static_cast<int>((bottom - top) / 50)))) {
    const std::string y = fixed(sy(t.value));
    out += "<line x1=\"" + fixed(left) + "\" x2=\"" + fixed(right) + "\" y1=\"" + y + "\" y2=\"" + y + "\" stroke=\"" +
           (t.label.empty() ? "#f2f3f5" : "#e2e5e9") + "\"/>\n";
    if (!t.label.empty()) out += text_at(left - 7, sy(t.value) + 4, "end", 12, t.label);
  }
  const std::string frame = "x=\"" + fixed(left) + "\" y=\"" + fixed(top) + "\" width=\"" + fixed(right - left) +
                            "\" height=\"" + fixed(bottom - top) + "\"";
  const std::string clip = "clip" + std::to_string(id);
  out += "<clipPath id=\"" + clip + "\"><rect " + frame + "/></clipPath>\n<rect " + frame +
         " fill=\"none\" stroke=\"#6b7280\"/>\n";
  out += text_at((left + right) / 2, c.height - 10, "middle", 13, clip_label(c.x.label, 90));
  out += text_at(16, (top + bottom) / 2, "middle", 13, clip_label(c.y.label, 60),
                 " transform=\"rotate(-90 16 " + fixed((top + bottom) / 2) + ")\"");
  bool any = false;
  out += "<g clip-path=\"url(#" + clip + ")\">\n";
  for (size_t k = 0; k < c.series.size(); ++k) {
    const auto& s = c.series[k];
    const std::string color = s.color.empty() ? kPalette[k % kPalette.size()] : escape_xml(s.color);
    const std::string drawn = draw_series(s, color, sx, sy);
    any |= !drawn.empty();
    out += drawn;
  }
  out += "</g>\n";
  if (!any) out += text_at((left + right) / 2, (top + bottom) / 2, "middle", 13, "no data", " fill=\"#6b7280\"");
  for (size_t k = 0; legend && k < c.series.size(); ++k) {
    const auto& s = c.series[k];
    const double y = top + 10 + 18 * static_cast<double>(k);
    if (y > bottom) break;
    out += "<line x1=\"" + fixed(right + 10) + "\" x2=\"" + fixed(right + 32) + "\" y1=\"" + fixed(y) + "\" y2=\"" +
           fixed(y) + "\" stroke-width=\"2.4\" stroke=\"" +
           (s.color.empty() ? kPalette[k % kPalette.size()] : escape_xml(s.color)) + "\"" +
           (s.dashed ? " stroke-dasharray=\"6 4\"" : "") + "/>\n";
    out += text_at(right + 37, y + 4, "start", 12, clip_label(s.name, 30));
  }
  return out;
}

std::string document(int width, int height, const std::string& label, const std::string& body) {
  const std::string w = std::to_string(width), h = std::to_string(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w + "\" height=\"" + h + "\" viewBox=\"0 0 " + w + " " + h +
         "\" role=\"img\" aria-label=\"" + clip_label(label, 200) + "\" " + kFont + " fill=\"#1f2933\">\n" + body +
         "</svg>\n";
}

}  // namespace

std::string escape_xml(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string render_chart(const Chart& chart) {
  return document(chart.width, chart.height, chart.title, chart_body(chart, 0));
}

std::string render_charts(const std::vector<Chart>& charts, int columns) {
  columns = std::max(1, columns);
  int width = 1, y = 0, row_height = 0, x = 0, column = 0, id = 0;
  std::string body;
  for (const auto& c : charts) {
    if (column == columns) {
      y += row_height;
      x = column = row_height = 0;
    }
    body += "<g transform=\"translate(" + std::to_string(x) + " " + std::to_string(y) + ")\">\n" + chart_body(c, id++) +
            "</g>\n";
    x += c.width;
    width = std::max(width, x);
    row_height = std::max(row_height, c.height);
    ++column;
  }
  const int height = std::max(1, y + row_height);
  const std::string background =
      "<rect width=\"" + std::to_string(width) + "\" height=\"" + std::to_string(height) + "\" fill=\"#ffffff\"/>\n";
  return document(width, height, charts.empty() ? "no charts" : charts[0].title, background + body);
}

std::string render_fields(const FieldFigure& f) {
  const int bar = 62, gap_y = 52, top = f.title.empty() ? 12 : 40, left = 26;
  size_t columns = 1;
  for (const auto& row : f.panels) columns = std::max(columns, row.size());
  const int width = left + static_cast<int>(columns) * (f.panel_width + bar + 16) + 8;
  const int height = top + static_cast<int>(f.panels.size()) * (f.panel_height + gap_y) + 8;
  std::string body = "<title>" + clip_label(f.title.empty() ? "fields" : f.title, 200) + "</title>\n<rect width=\"" +
                     std::to_string(width) + "\" height=\"" + std::to_string(height) + "\" fill=\"#ffffff\"/>\n";
  if (!f.title.empty()) body += text_at(width / 2.0, 24, "middle", 15, clip_label(f.title, 110), " font-weight=\"600\"");
  const auto image = [](double x, double y, double w, double h, const Image& pixels) {
    return "<image x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" + fixed(w) + "\" height=\"" + fixed(h) +
           "\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64," +
           base64(encode_png(pixels)) + "\"/>\n";
  };
  for (size_t r = 0; r < f.panels.size(); ++r) {
    for (size_t k = 0; k < f.panels[r].size(); ++k) {
      const FieldPanel& p = f.panels[r][k];
      const double x = left + static_cast<double>(k) * (f.panel_width + bar + 16),
                   y = top + static_cast<double>(r) * (f.panel_height + gap_y) + 20;
      const double h = f.panel_height, w = f.panel_width;
      body += text_at(x + w / 2, y - 6, "middle", 13, clip_label(p.title, 48));
      double low = p.low, high = p.high;
      if (!(low < high)) {
        low = std::numeric_limits<double>::infinity();
        high = -low;
        for (const float v : p.values) {
          if (!std::isfinite(v)) continue;
          low = std::min<double>(low, v);
          high = std::max<double>(high, v);
        }
        if (!(low <= high)) low = 0, high = 1;
      }
      if (p.rows > 0 && p.cols > 0) {
        body += image(x, y, w, h, colour_image(p.values, p.rows, p.cols, low, high, p.map));
        std::vector<float> ramp(64);
        for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i) / 63;
        body += image(x + w + 6, y, 12, h, colour_image(ramp, 64, 1, 0, 1, p.map));
      }
      body += "<rect x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" + fixed(w) + "\" height=\"" + fixed(h) +
              "\" fill=\"none\" stroke=\"#6b7280\"/>\n";
      for (int t = 0; t <= 2; ++t) {
        const double v = low + (high - low) * t / 2;
        body += text_at(x + w + 22,
                        y + h - h * t / 2 +
                            (t == 0   ? 0
                             : t == 1 ? 4
                                      : 10),
                        "start", 11, detail::number_label(std::abs(v) < 1e-6 * (high - low) ? 0 : v));
      }
      body += text_at(x + w / 2, y + h + 15, "middle", 12, clip_label(f.x_label, 30));
      if (k == 0)
        body += text_at(x - 10, y + h / 2, "middle", 12, clip_label(f.y_label, 30),
                        " transform=\"rotate(-90 " + fixed(x - 10) + " " + fixed(y + h / 2) + ")\"");
    }
  }
  return document(width, height, f.title, body);
}

}  // namespace ups::io
