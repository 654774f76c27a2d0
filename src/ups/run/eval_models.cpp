#include "ups/run/eval_models.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <future>
#include <map>
#include <mutex>

#include "ups/core/rng.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"

namespace ups::run {
namespace {

using at::Tensor;
using stages::FieldSpace;

constexpr uint64_t kSampleKey = 0x5a3d1e;

std::vector<int64_t> field_shape(const FieldSpace& s, int64_t batch, int64_t channels) {
  std::vector<int64_t> shape{batch, channels};
  shape.insert(shape.end(), s.info().grid.begin(), s.info().grid.end());
  return shape;
}

// Physical values -> normalised tensor; several frames become channels.
Tensor normalised(const FieldSpace& s, std::span<const float> values, int64_t batch, bool coeff, int64_t frames = 1) {
  const int64_t channels = coeff ? s.info().coeff_channels : s.info().channels;
  std::vector<float> copy(values.begin(), values.end());
  if (coeff) s.normalizer.apply_coeff(copy, channels, s.info().cells());
  else s.normalizer.apply(copy, channels, s.info().cells());
  Tensor t = at::empty(field_shape(s, batch, frames * channels), at::kFloat);
  std::copy(copy.begin(), copy.end(), t.data_ptr<float>());
  return t.to(s.device);
}

void physical_out(const FieldSpace& s, const Tensor& z, std::span<float> out) {
  const Tensor host = s.decode(z).to(at::kCPU).to(at::kFloat).contiguous();
  std::copy(host.data_ptr<float>(), host.data_ptr<float>() + host.numel(), out.begin());
  s.normalizer.invert(out, s.info().channels, s.info().cells());
}

models::Condition condition_for(const FieldSpace& s, std::span<const int64_t> trajectory) {
  models::Condition c;
  const int64_t b = static_cast<int64_t>(trajectory.size()), np = static_cast<int64_t>(s.info().param_names.size());
  c.dt = at::full({b}, s.info().dt * static_cast<double>(s.stride), at::kFloat).to(s.device);
  if (np > 0) {
    Tensor p = at::empty({b, np}, at::kFloat);
    for (int64_t i = 0; i < b; ++i) {
      const auto values = s.normalizer.normalise_params(s.dataset->params(trajectory[static_cast<size_t>(i)]));
      std::copy(values.begin(), values.end(), p.data_ptr<float>() + i * np);
    }
    c.params = p.to(s.device);
  }
  c.boundary = s.boundary.expand({b, s.boundary.size(1)});
  return c;
}

// Noise that depends on trajectory, step and member only: the same candidates for every batch size and device.
Tensor sample_noise(const Tensor& like, std::span<const int64_t> trajectory, int64_t step, int64_t member) {
  std::vector<uint64_t> keys;
  for (int64_t t : trajectory)
    keys.push_back(mix_seed(mix_seed(mix_seed(kSampleKey, static_cast<uint64_t>(t)), static_cast<uint64_t>(step)), static_cast<uint64_t>(member)));
  return models::keyed_noise(like.sizes(), keys, like.options());
}

// work(first, count) over [0, n) on one thread per core. Small models gain little from threads inside an operation, so whole samples
// are shared out; each sample's result does not depend on how.
template <class Work>
void over_samples(int64_t n, Work work) {
  const int64_t threads = std::min<int64_t>(default_threads(), n);
  std::vector<std::future<void>> parts;
  for (int64_t i = 0; i < threads; ++i) {
    const int64_t first = i * n / threads, count = (i + 1) * n / threads - first;
    parts.push_back(std::async(i + 1 == threads ? std::launch::deferred : std::launch::async, [&work, first, count] {
      at::set_num_threads(1);
      const at::NoGradGuard no_grad;
      work(first, count);
    }));
  }
  for (auto& p : parts) p.get();
}

// Rollouts stay in latent space: what was decoded for the driver and comes back unchanged continues from its latent. Encoding it again
// would add the autoencoder's error at every step. One state per trajectory and member.
class LatentCarry {
 public:
  void keep(int64_t trajectory, int64_t member, std::span<const float> field, const Tensor& z) {
    const std::lock_guard lock(mutex_);
    last_[{trajectory, member}] = {{field.begin(), field.end()}, z};
  }
  // Undefined when `field` is not the last decoded one, bit for bit.
  Tensor find(int64_t trajectory, int64_t member, std::span<const float> field) {
    const std::lock_guard lock(mutex_);
    const auto it = last_.find({trajectory, member});
    return it != last_.end() && std::equal(field.begin(), field.end(), it->second.first.begin(), it->second.first.end()) ? it->second.second : Tensor();
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<int64_t, int64_t>, std::pair<std::vector<float>, Tensor>> last_;
};

// What a model sees of physical fields [B, context, C, cells]: models::seen_frames of states.
Tensor seen_states(const FieldSpace& s, LatentCarry& carry, std::span<const float> in, std::span<const int64_t> trajectory, int64_t member, int64_t context) {
  const int64_t batch = static_cast<int64_t>(trajectory.size());
  if (!s.autoencoder) return normalised(s, in, batch, false, context);
  const size_t frame = static_cast<size_t>(s.info().channels * s.info().cells());
  std::vector<Tensor> samples;
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<Tensor> frames;
    for (int64_t k = 0; k < context; ++k) {
      const auto field = in.subspan(static_cast<size_t>(b * context + k) * frame, frame);
      // Of several frames only the newest can be our own: the others would have been carried too.
      const Tensor own = context == 1 ? carry.find(trajectory[static_cast<size_t>(b)], member, field) : Tensor();
      frames.push_back(own.defined() ? own : s.encode(normalised(s, field, 1, false)));
    }
    samples.push_back(at::cat(frames, 1));
  }
  return at::cat(samples);
}

// next(z, condition, trajectory, step, member) on states; z: models::seen_frames with that context.
template <class Next>
EvalModel transient(const FieldSpace& s, std::string name, int nfe, bool stochastic, Next next, int64_t context = 1) {
  EvalModel m;
  m.name = std::move(name);
  m.nfe = nfe;
  m.stochastic = stochastic;
  m.context = context;
  const auto carry = std::make_shared<LatentCarry>();
  m.predict = [&s, next, context, carry](std::span<const float> in, std::span<const float>, std::span<const int64_t> trajectory, int64_t step, int64_t member,
                         std::span<float> out) {
    const size_t frame = static_cast<size_t>(s.info().channels * s.info().cells());
    over_samples(static_cast<int64_t>(trajectory.size()), [&](int64_t first, int64_t count) {
      const auto ids = trajectory.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
      const size_t begin = static_cast<size_t>(first) * frame, size = static_cast<size_t>(count) * frame, frames = static_cast<size_t>(context);
      const Tensor z = seen_states(s, *carry, in.subspan(frames * begin, frames * size), ids, member, context);
      const Tensor state = next(z, condition_for(s, ids), ids, step, member);
      physical_out(s, state, out.subspan(begin, size));
      if (!s.autoencoder || context > 1) return;
      for (int64_t b = 0; b < count; ++b)
        carry->keep(ids[static_cast<size_t>(b)], member, out.subspan((static_cast<size_t>(first + b)) * frame, frame), state.narrow(0, b, 1).clone());
    });
  };
  return m;
}

std::shared_ptr<models::SteadyField> load_steady(const RunConfig& c, FieldSpace& s, const TrainedStage& t) {
  require_same_space(t, s);
  const stages::SteadyStatistics placeholder{at::zeros(field_shape(s, 1, s.info().channels)),
                                             std::vector<double>(static_cast<size_t>(s.info().channels), 1.0)};
  std::shared_ptr<models::SteadyField> m = build_steady(c, s, placeholder, effective_seed(c));
  m->load_state(t.weights(), t.path);
  return m;
}

// Draws of one member at one step; the first is sample_noise().
stages::NoiseOf member_noise(const Tensor& like, std::span<const int64_t> trajectory, int64_t step, int64_t member) {
  return [=](int64_t draw) { return sample_noise(like, trajectory, step, draw == 0 ? member : static_cast<int64_t>(mix_seed(static_cast<uint64_t>(member), static_cast<uint64_t>(draw)))); };
}

}  // namespace

std::vector<EvalModel> transient_models(const RunConfig& c, FieldSpace& s, train::CheckpointStore& store, const EvalChoice& choice) {
  std::vector<EvalModel> out;
  const auto trained = load_trained(store, "operator");
  if (!trained) return out;
  const std::shared_ptr<models::FieldOperator> op = load_operator(c, s, *trained);
  using Ids = std::span<const int64_t>;
  const auto alone = [&](const char* name, const std::shared_ptr<models::FieldOperator>& model) {
    const auto next = [model](const Tensor& z, const models::Condition& k, Ids, int64_t, int64_t) { return model->step(z, k); };
    out.push_back(transient(s, name, 1, false, next, c.op.context));
  };
  alone("operator", op);
  if (const auto control = load_trained(store, "operator_equal_compute")) alone("operator_equal_compute", load_operator(c, s, *control));
  if (c.op.context > 1) return out;  // correctors of an earlier operator know one frame
  const auto options = corrector_options(c, s.info());
  const bool mean = choice.corrector_mode == "all" || choice.corrector_mode == "mean";
  const bool sample = choice.corrector_mode == "all" || choice.corrector_mode == "sample" || choice.corrector_mode == "ensemble_mean";
  // A row that draws the residual: draw(z, z_op, condition, noise).
  const auto sampled = [&](const std::string& name, int64_t evaluations, const std::shared_ptr<models::Corrector>& corrector, auto draw) {
    out.push_back(transient(s, name, static_cast<int>(1 + evaluations), true,
                            [op, corrector, options, draw](const Tensor& z, const models::Condition& k, Ids ids, int64_t step, int64_t member) {
                              const Tensor z_op = op->step(z, k);
                              return stages::apply_correction(*corrector, options, z, z_op, draw(*corrector, z, z_op, k, member_noise(z, ids, step, member)));
                            }));
  };
  using stages::NoiseOf;
  if (const auto t = load_trained(store, "diff_residual"); t && (mean || sample)) {
    const std::shared_ptr<models::Corrector> corrector = load_corrector(c, s, *t);
    if (mean && options.null_token_share > 0)
      out.push_back(transient(s, "corrector_mean", 2, false, [op, corrector, options](const Tensor& z, const models::Condition& k, Ids, int64_t, int64_t) {
        const Tensor z_op = op->step(z, k);
        return stages::apply_correction(*corrector, options, z, z_op, corrector->mean_residual(z, z_op, k));
      }));
    const stages::ResidualSampler how{choice.sampler.heun, choice.sampler.steps};
    const auto& objective = corrector_objective(c);
    if (sample)
      sampled("corrector_sample", objective.evaluations(how), corrector,
              [&objective, how](const models::Corrector& m, const Tensor& z, const Tensor& z_op, const models::Condition& k, const NoiseOf& noise) {
                return objective.sample(m, z, z_op, k, noise, how);
              });
  }
  if (const auto t = load_trained(store, "consistency_distill"); t && sample) {
    const std::shared_ptr<models::Corrector> student = load_corrector(c, s, *t);
    const auto& objective = student_objective(c);
    for (int64_t steps = 1; steps <= std::min<int64_t>(2, objective.max_steps()); ++steps)
      sampled("student_" + std::to_string(steps) + "step", steps, student,
              [&objective, steps](const models::Corrector& m, const Tensor& z, const Tensor& z_op, const models::Condition& k, const NoiseOf& noise) {
                return objective.sample(m, z, z_op, k, noise, steps);
              });
  }
  return out;
}

std::vector<EvalModel> steady_models(const RunConfig& c, FieldSpace& s, train::CheckpointStore& store) {
  std::vector<EvalModel> out;
  const auto t = load_trained(store, "steady_prior");
  if (!t) return out;
  const auto model = load_steady(c, s, *t);
  const auto add = [&](const std::string& name, int nfe, bool stochastic, auto solve) {
    EvalModel m;
    m.name = name;
    m.nfe = nfe;
    m.stochastic = stochastic;
    m.predict = [&s, model, solve](std::span<const float>, std::span<const float> coeff, std::span<const int64_t> ids, int64_t, int64_t member,
                                   std::span<float> result) {
      const at::NoGradGuard no_grad;
      const Tensor a = normalised(s, coeff, static_cast<int64_t>(ids.size()), true);
      physical_out(s, solve(a, condition_for(s, ids), ids, member), result);
    };
    out.push_back(std::move(m));
  };
  using Ids = std::span<const int64_t>;
  add("steady_prior", 1, false, [model](const Tensor& a, const models::Condition& k, Ids, int64_t) { return model->mean_solution(a, k); });
  if (steady_null_share(c) == 1) return out;
  add("steady_prior_sample", 8, true, [model, &s](const Tensor& a, const models::Condition& k, Ids ids, int64_t member) {
    const Tensor like = at::empty(field_shape(s, a.size(0), s.info().channels), a.options());
    return model->sample(sample_noise(like, ids, 0, member), a, k, 8, false);
  });
  return out;
}

DrawState attractor_sampler(const RunConfig& c, FieldSpace& s, train::CheckpointStore& store, Sampler how) {
  const auto model = load_steady(c, s, require_trained(store, "steady_prior", "attractor scores"));
  return [&s, model, how](std::span<const int64_t> ids, int64_t first, std::span<float> out) {
    const size_t frame = static_cast<size_t>(s.info().channels * s.info().cells());
    over_samples(static_cast<int64_t>(ids.size()), [&](int64_t begin, int64_t count) {
      std::vector<uint64_t> keys;
      for (int64_t i = 0; i < count; ++i) keys.push_back(mix_seed(kSampleKey, static_cast<uint64_t>(first + begin + i)));
      const Tensor noise = models::keyed_noise(field_shape(s, count, s.info().channels), keys, at::TensorOptions(s.device).dtype(at::kFloat));
      const auto some = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      physical_out(s, model->sample(noise, {}, condition_for(s, some), how.steps, how.heun),
                   out.subspan(static_cast<size_t>(begin) * frame, static_cast<size_t>(count) * frame));
    });
  };
}

}  // namespace ups::run
