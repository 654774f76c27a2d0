// Small SVG figures: line charts and rows of coloured fields. Text is escaped; nothing in a figure refers to another file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ups/io/png.h"

namespace ups::io {

struct Series {
  std::string name;
  std::vector<double> x, y;       // equal lengths; a NaN or infinity breaks the line (on log axes also values <= 0)
  std::vector<double> low, high;  // optional shaded band around the line, same length as x
  std::string color;              // "#rrggbb"; empty = next of the palette
  bool dashed = false;
  bool markers = false;           // a dot at every point; a line of one point always gets one
};

struct Axis {
  std::string label;
  bool log = false;
  std::optional<double> min, max;  // default: the data's range and a margin
};

struct Chart {
  std::string title;
  Axis x, y;
  std::vector<Series> series;
  int width = 760, height = 420;   // pixels
};

// A complete SVG document. Series of more than 2,000 points are decimated to the extremes of 1,000 pieces.
std::string render_chart(const Chart& chart);
// Several charts below and beside each other in one document.
std::string render_charts(const std::vector<Chart>& charts, int columns);

struct FieldPanel {
  std::string title;
  int64_t rows = 0, cols = 0;
  std::vector<float> values;       // [rows, cols]; row 0 is drawn at the bottom
  double low = 0, high = 0;        // colour range; equal values: from the data
  ColourMap map = ColourMap::sequential;
};

struct FieldFigure {
  std::string title;
  std::string x_label, y_label;    // "x", "t"
  std::vector<std::vector<FieldPanel>> panels;  // rows of panels, each with its colour bar
  int panel_width = 240, panel_height = 200;
};

std::string render_fields(const FieldFigure& figure);

std::string escape_xml(const std::string& text);

}  // namespace ups::io
