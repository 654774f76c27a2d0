#include "fake_graph.h"

#include "fake_device.h"

namespace ups::test {
namespace {

class Tape final : public train::Recording {
 public:
  explicit Tape(Operators operators) : operators_(std::move(operators)) {}
  void replay() override {
    for (const auto& run : operators_) run();
  }

 private:
  Operators operators_;
};

class TapeRecorder final : public train::GraphRecorder {
 public:
  void rehearse(const std::function<void()>& work) override { work(); }
  std::unique_ptr<train::Recording> capture(const std::function<void()>& work) override {
    return std::make_unique<Tape>(record_operators(work));
  }
};

class CountedRecording final : public train::Recording {
 public:
  CountedRecording(std::unique_ptr<train::Recording> inner, int& replays) : inner_(std::move(inner)), replays_(replays) {}
  void replay() override {
    replays_ += 1;
    inner_->replay();
  }

 private:
  std::unique_ptr<train::Recording> inner_;
  int& replays_;
};

}  // namespace

std::shared_ptr<train::GraphRecorder> recorder_for(c10::Device device) {
  return device == fake_device() ? std::make_shared<TapeRecorder>() : train::make_graph_recorder(device);
}

void CountedRecorder::rehearse(const std::function<void()>& work) {
  rehearsals += 1;
  inner_->rehearse(work);
}

std::unique_ptr<train::Recording> CountedRecorder::capture(const std::function<void()>& work) {
  captures += 1;
  return std::make_unique<CountedRecording>(inner_->capture(work), replays);
}

}  // namespace ups::test
