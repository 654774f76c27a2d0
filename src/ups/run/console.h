// Progress of a training on stderr: one redrawn line on a terminal, one plain line per interval elsewhere.
#pragma once
#include <string>

#include "ups/train/trainer.h"

namespace ups::run {

class Console {
 public:
  // mode: auto | bar | plain | none; every: seconds between plain lines.
  Console(const std::string& mode, double every, int stage_index, int stage_count);
  ~Console();
  bool wants() const;                       // is it time for a line?
  void show(const train::Progress& progress);
  void clear();                             // before other output

 private:
  bool bar_ = false, plain_ = false, drawn_ = false;
  double every_, last_ = 0;
  int index_, count_;
};

}  // namespace ups::run
