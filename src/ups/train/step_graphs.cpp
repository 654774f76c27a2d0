#include "ups/train/step_graphs.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <stdexcept>

#include "ups/core/log.h"

namespace ups::train {
namespace {

std::vector<at::Tensor> inputs_of(const MicroBatch& m) {
  std::vector<at::Tensor> out{m.batch.fields, m.batch.coeff, m.batch.params, m.batch.dt};
  for (const auto& [name, t] : m.prepared.tensors) out.push_back(t);
  return out;
}

// The same micro-batch in memory of its own, contents undefined.
MicroBatch room_for(const MicroBatch& m) {
  const auto room = [](const at::Tensor& t) { return t.defined() ? at::empty_like(t) : t; };
  MicroBatch out;
  out.batch.fields = room(m.batch.fields);
  out.batch.coeff = room(m.batch.coeff);
  out.batch.params = room(m.batch.params);
  out.batch.dt = room(m.batch.dt);
  for (const auto& [name, t] : m.prepared.tensors) out.prepared.tensors[name] = room(t);
  out.prepared.variant = m.prepared.variant;
  out.weight = m.weight;
  out.logged = m.logged;
  return out;
}

void copy_inputs(const MicroBatch& to, const MicroBatch& from) {
  const c10::NoGradGuard no_grad;
  const auto targets = inputs_of(to), values = inputs_of(from);
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].defined()) targets[i].copy_(values[i], /*non_blocking=*/true);
}

}  // namespace

StepGraphs::StepGraphs(std::shared_ptr<GraphRecorder> recorder, optim::ParamList params, int64_t warmup, Forward forward)
    : recorder_(std::move(recorder)), warmup_(warmup), forward_(std::move(forward)) {
  for (auto& p : params) weights_.push_back(p.tensor);
}

int64_t StepGraphs::recorded() const {
  return std::count_if(entries_.begin(), entries_.end(), [](const auto& e) { return e.second.recording != nullptr; });
}

StepGraphs::Signature StepGraphs::signature(const MicroBatch& m, bool adds) {
  Signature s{adds, m.prepared.variant, std::bit_cast<int64_t>(m.weight), std::bit_cast<int64_t>(m.logged)};
  for (const at::Tensor& t : inputs_of(m)) {
    s.push_back(t.defined() ? t.dim() : -1);
    if (!t.defined()) continue;
    s.push_back(static_cast<int64_t>(t.scalar_type()));
    s.insert(s.end(), t.sizes().begin(), t.sizes().end());
  }
  for (const auto& [name, t] : m.prepared.tensors) s.push_back(static_cast<int64_t>(std::hash<std::string>{}(name)));
  return s;
}

void StepGraphs::follow_weights() {
  const auto moved = [&] {
    for (size_t i = 0; i < weights_.size(); ++i)
      if (weights_[i].const_data_ptr() != addresses_[i]) return true;
    return false;
  };
  if (!addresses_.empty() && !moved()) return;
  entries_.clear();
  addresses_.clear();
  gradients_.clear();
  const c10::NoGradGuard no_grad;
  for (const auto& w : weights_) {
    addresses_.push_back(w.const_data_ptr());
    gradients_.push_back(at::empty_like(w));
  }
}

bool StepGraphs::ours_or_none() const {
  for (size_t i = 0; i < weights_.size(); ++i)
    if (weights_[i].grad().defined() && !weights_[i].grad().is_same(gradients_[i])) return false;
  return true;
}

StepGraphs::Entry* StepGraphs::entry(const MicroBatch& m, bool adds) {
  const Signature key = signature(m, adds);
  const auto it = entries_.find(key);
  if (it != entries_.end()) return &it->second;
  if (entries_.size() >= kMaxGraphs) return nullptr;
  Entry& e = entries_[key];
  e.inputs = room_for(m);
  e.loss = at::empty({}, m.batch.fields.options().dtype(at::kDouble));
  return &e;
}

// What is rehearsed and recorded: nothing lasting is written before everything that may throw is done.
void StepGraphs::pass(Entry& e, bool adds) {
  const ForwardPass f = forward_(e.inputs);
  const auto grads = torch::autograd::grad({f.scaled}, weights_, {}, std::nullopt, false, /*allow_unused=*/true);
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> from, to;
  e.used.clear();
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    e.used.push_back(i);
    from.push_back(grads[i]);
    to.push_back(gradients_[i]);
  }
  if (adds && e.used != attached_) throw std::runtime_error("micro-batches of one update reach different parameters");
  adds ? at::_foreach_add_(to, from) : at::_foreach_copy_(to, from);
  e.loss.copy_(f.logged);
}

void StepGraphs::execute(Entry& e, bool adds) {
  const auto work = [this, &e, adds] { pass(e, adds); };
  if (e.rehearsals < warmup_) {
    e.rehearsals += 1;
    return recorder_->rehearse(work);
  }
  if (!e.recording) {
    e.recording = recorder_->capture(work);
    log::debug("training.compile: " + std::to_string(recorded()) + " graphs recorded");
  }
  e.recording->replay();
}

at::Tensor StepGraphs::run(const MicroBatch& m) {
  if (refused_) return {};
  follow_weights();
  if (!ours_or_none()) return {};
  const bool adds = std::any_of(weights_.begin(), weights_.end(), [](const at::Tensor& w) { return w.grad().defined(); });
  Entry* e = entry(m, adds);
  if (e == nullptr || (adds && e->recording && e->used != attached_)) return {};
  copy_inputs(e->inputs, m);
  try {
    execute(*e, adds);
  } catch (const std::exception& why) {
    refuse(why);
    return {};
  }
  attached_ = e->used;
  for (const size_t i : attached_) weights_[i].mutable_grad() = gradients_[i];
  return e->loss.clone();
}

// The same micro-batch follows without a graph, so an error that is not the graph's comes up there.
void StepGraphs::refuse(const std::exception& why) {
  refused_ = true;
  entries_.clear();
  const std::string text = why.what();
  log::notice_once("ignored: training.compile (no CUDA graph of this step: " + text.substr(0, text.find('\n')) + ")");
}

}  // namespace ups::train
