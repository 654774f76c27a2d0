// Test-time compute: the reward's terms, the search, and the report, on models and data with known answers.
#include <algorithm>
#include <cmath>
#include <functional>

#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "eval_fakes.h"
#include "ups/core/error.h"
#include "ups/data/generators/generator.h"
#include "ups/run/eval_table.h"
#include "ups/run/ttc.h"
#include "ups/run/verdict.h"

using namespace ups;
using namespace ups::run;

namespace {

data::SetInfo point_info() {
  data::SetInfo info;
  info.name = "toy", info.family = "toy", info.channels = 1, info.grid = {1}, info.channel_names = {"u"};
  return info;
}

// A number that every model moves by a step of its own, counting network evaluations.
struct Toy {
  std::function<double(int64_t trajectory, int64_t step, int64_t member)> move = [](int64_t, int64_t, int64_t member) { return 0.1 * static_cast<double>(member); };
  std::function<double(double after, int64_t trajectory)> cost = [](double after, int64_t) { return std::abs(after); };
  int64_t evaluations = 0;
  EvalModel model(bool stochastic, int nfe) {
    EvalModel m;
    m.name = stochastic ? "corrector_sample" : "operator";
    m.nfe = nfe, m.stochastic = stochastic;
    m.predict = [this, stochastic, nfe](std::span<const float> in, std::span<const float>, std::span<const int64_t> trajectory, int64_t step,
                                        int64_t member, std::span<float> out) {
      for (size_t b = 0; b < out.size(); ++b) out[b] = in[b] + (stochastic ? static_cast<float>(move(trajectory[b], step, member)) : 0.0F);
      evaluations += nfe * static_cast<int64_t>(out.size());
    };
    return m;
  }
  TtcSearch search(const TtcOptions& options, int nfe_first = 1, int nfe_sample = 3) {
    TtcReward reward{{"residual"}, {1}, 0, [this](std::span<const float>, std::span<const float> after, int64_t trajectory, std::span<double> terms) {
                       terms[0] = cost(static_cast<double>(after[0]), trajectory);
                     }};
    return TtcSearch(options, model(false, nfe_first), model(true, nfe_sample), std::move(reward), point_info(), 10);
  }
};

TtcOptions options_of(int64_t candidates, int64_t beam = 1, int64_t horizon = 1) {
  TtcOptions o;
  o.candidates = candidates, o.beam_width = beam, o.horizon = horizon;
  return o;
}

std::vector<float> step_of(TtcSearch& search, const std::vector<float>& in, const std::vector<int64_t>& ids, int64_t step = 10) {
  std::vector<float> out(in.size());
  search.predict(in, ids, step, out);
  return out;
}

// The first step of the best of all candidate sequences, by enumeration.
int64_t brute_force(const Toy& toy, double start, int64_t trajectory, int64_t step, int64_t k, int64_t horizon, double gamma) {
  struct Path {
    int64_t root;
    double total, value;
  };
  std::vector<Path> paths = {{-1, 0, start}};
  double weight = 1;
  for (int64_t level = 0; level < horizon; ++level, weight *= gamma) {
    std::vector<Path> next;
    std::vector<double> costs;
    for (const Path& p : paths) {
      for (int64_t c = 0; c < k; ++c) {
        const auto move = c == 0 ? 0.0F : static_cast<float>(toy.move(trajectory, step + level, c - 1));
        const double value = static_cast<double>(static_cast<float>(p.value) + move);
        next.push_back({level == 0 ? c : p.root, p.total, value});
        costs.push_back(toy.cost(value, trajectory));
      }
    }
    double mean = 0, squares = 0;
    for (double c : costs) mean += c / static_cast<double>(costs.size());
    for (double c : costs) squares += (c - mean) * (c - mean) / static_cast<double>(costs.size());
    for (size_t i = 0; i < next.size(); ++i) next[i].total -= weight * (costs[i] - mean) / std::sqrt(squares);
    paths = std::move(next);
  }
  return std::max_element(paths.begin(), paths.end(), [](const Path& a, const Path& b) { return a.total < b.total; })->root;
}

data::SetInfo line_info(const std::string& family, int64_t points, double length, double dt, const std::string& parameter) {
  data::SetInfo info;
  info.name = info.family = family, info.channels = 1, info.grid = {points}, info.channel_names = {"u"};
  info.length = {length}, info.dt = dt;
  info.boundary = {data::Boundary::periodic, data::Boundary::periodic};
  if (!parameter.empty()) info.param_names = {parameter};
  return info;
}

double residual_of(const TtcReward& reward, std::span<const float> before, std::span<const float> after) {
  std::vector<double> terms(reward.weights.size());
  reward.cost(before, after, 0, terms);
  return terms.at(*reward.residual);
}

}  // namespace

TEST_CASE("rewards are standardised over the candidates of a sample", "[ttc]") {
  const auto r = standardised_rewards({{1, 5}, {2, 5}, {3, 5 + 1e-9}}, {2, 1}, 1e-6);
  const double s = std::sqrt(2.0 / 3);
  CHECK(r[0] == Approx(2 / s).margin(2e-3));
  CHECK(r[1] == Approx(0).margin(2e-3));
  CHECK(r[2] == Approx(-2 / s).margin(2e-3));  // the second term differs by rounding only
  const auto with_bad = standardised_rewards({{1}, {INFINITY}, {3}}, {1}, 1e-6);
  CHECK(with_bad[0] == Approx(1));
  CHECK(std::isinf(with_bad[1]));
  CHECK(with_bad[1] < 0);
  CHECK(standardised_rewards({{1}, {3}}, {1}, 4)[0] == Approx(0.25));
  const std::vector<float> before = {2, -2}, spread = {1, 1, 1.2F, 1, 1, 1.2F};  // distances 1/15, 1/15, 2/15 twice: RMS .0943
  CHECK(reward_floor(before, spread) == Approx(0.1 * std::sqrt(2.0) / 15 / 2).epsilon(1e-4));
  CHECK(reward_floor(before, std::vector<float>(4, 1)) == 1e-6);
}

TEST_CASE("each sample takes its own candidate", "[ttc]") {
  Toy toy;
  toy.move = [](int64_t, int64_t, int64_t member) { return member == 0 ? 0.5 : -0.5; };
  toy.cost = [](double after, int64_t trajectory) { return std::abs(after - (trajectory == 7 ? 0.5 : trajectory == 8 ? -0.4 : 0.1)); };
  TtcSearch search = toy.search(options_of(3));
  CHECK(step_of(search, {0, 0, 0}, {7, 8, 9}) == std::vector<float>{0.5F, -0.5F, 0});
  CHECK(search.mean_evaluations() == 7);
  CHECK(toy.evaluations == 21);
}

TEST_CASE("beam search takes the first step of the best sequence", "[ttc]") {
  Toy toy;
  toy.move = [](int64_t trajectory, int64_t step, int64_t member) {
    return std::sin(static_cast<double>(7 * trajectory + 3 * step + 11 * member));
  };
  toy.cost = [](double after, int64_t) { return std::abs(std::sin(3 * after)) + 0.05 * after * after; };
  std::vector<int64_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i);
  const std::vector<float> in(40, 0.3F);
  int differ = 0;
  for (const int64_t horizon : {1, 2, 3}) {
    TtcOptions o = options_of(3, 9, horizon);  // nothing is cut: 3 * 3 states before the last step
    o.gamma = 0.8;
    TtcSearch search = toy.search(o), greedy = toy.search(options_of(3));
    const auto all = search.candidates(in, ids, 10, 3);
    const auto totals = search.totals(in, all, ids, 10), near = greedy.totals(in, all, ids, 10);
    for (size_t i = 0; i < ids.size(); ++i) {
      CHECK(search.choose(totals[i]) == brute_force(toy, 0.3F, ids[i], 10, 3, horizon, 0.8));
      differ += search.choose(totals[i]) != greedy.choose(near[i]);
    }
  }
  CHECK(differ > 5);  // looking ahead matters here
  TtcSearch narrow = toy.search(options_of(3, 2, 3));
  const auto together = step_of(narrow, in, ids);
  for (size_t i = 0; i < ids.size(); ++i) CHECK(step_of(narrow, {0.3F}, {ids[i]})[0] == together[i]);  // whatever the batch
}

TEST_CASE("a margin protects candidate 0", "[ttc]") {
  Toy toy;
  TtcOptions o = options_of(3);
  o.margin = 1.2;
  const TtcSearch search = toy.search(o);
  CHECK(search.choose({0, 1, 1.3}) == 2);
  CHECK(search.choose({0, 1, 1.2}) == 0);
  CHECK(search.choose({-INFINITY, 1, 0}) == 1);  // no hypothesis of candidate 0 is left
  TtcSearch never = toy.search(options_of(3));
  never.set_margin(INFINITY);
  CHECK(never.choose({-5, 1, 0}) == 0);
}

TEST_CASE("limits: evaluations, steps, residual threshold, early stop", "[ttc]") {
  TtcOptions o = options_of(4, 2, 3);
  CHECK(plan_ttc(o, 1, 3).evaluations == 10 + 20 + 20);
  o.max_evaluations = 30;
  CHECK(plan_ttc(o, 1, 3).horizon == 2);
  o.max_evaluations = 29;
  CHECK(plan_ttc(o, 1, 3).horizon == 1);
  o.max_evaluations = 9;
  const TtcPlan tight = plan_ttc(o, 1, 3);
  CHECK(tight.horizon == 1);
  CHECK(tight.candidates == 3);
  CHECK(tight.evaluations == 7);
  o.max_evaluations = 1;
  CHECK(plan_ttc(o, 1, 3).candidates == 1);
  for (const int64_t most : {1, 5, 9, 29, 30, 50}) {
    Toy toy;
    o.max_evaluations = most;
    TtcSearch search = toy.search(o);
    step_of(search, {1, 2}, {0, 1});
    CHECK(toy.evaluations <= 2 * most);
  }
  Toy toy;
  toy.move = [](int64_t, int64_t, int64_t) { return -0.5; };
  o = options_of(2);
  o.steps = 2;
  TtcSearch two_steps = toy.search(o);
  CHECK(step_of(two_steps, {1}, {0}, 11)[0] == 0.5F);
  CHECK(step_of(two_steps, {1}, {0}, 12)[0] == 1);  // the third frame is candidate 0's
  o = options_of(2);
  o.residual_threshold = 0.9;
  TtcSearch threshold = toy.search(o);
  toy.evaluations = 0;
  CHECK(step_of(threshold, {1, 0.8F}, {0, 1}) == std::vector<float>{0.5F, 0.8F});
  CHECK(toy.evaluations == 1 + 1 + 3);
  o = options_of(3, 2, 2);
  o.early_stop_margin = 1.5;
  toy.move = [](int64_t trajectory, int64_t, int64_t member) { return trajectory == 0 && member == 0 ? -0.5 : 0.01; };  // a clear lead: 3 / sqrt 2
  TtcSearch early = toy.search(o);
  toy.evaluations = 0;
  step_of(early, {1}, {0});
  CHECK(toy.evaluations == 7);
  toy.evaluations = 0;
  toy.move = [](int64_t, int64_t, int64_t member) { return member == 0 ? -0.5 : -0.49; };
  step_of(early, {1}, {1});
  CHECK(toy.evaluations == 7 + 14);
}

TEST_CASE("terms of the reward: hand-computed", "[ttc]") {
  data::SetInfo info = line_info("fluid", 4, 1, 0.1, "");
  info.channels = 2, info.channel_names = {"rho", "m"};
  TtcRewardOptions o;
  o.mass_field = "rho", o.energy_field = "m", o.momentum_field = {"m"};
  o.weights = {1, 1, 1, 1, 1, 1};
  const TtcReward reward = physical_reward(o, info, [](int64_t) { return std::vector<double>{}; });
  CHECK(reward.names == std::vector<std::string>{"mass", "momentum", "energy", "penalty_negative", "smoothness"});
  CHECK_FALSE(reward.residual);
  const std::vector<float> before = {2, 2, 2, 2, 2, 2, 2, 2}, after = {2, 2, 2, 6, 3, 3, -1, 3};
  std::vector<double> terms(5);
  reward.cost(before, after, 0, terms);
  CHECK(terms[0] == Approx(1.0 / 2));                                       // mean 2 -> 3, scale 2
  CHECK(terms[1] == Approx(0).margin(1e-12));                               // mean stays 2
  CHECK(terms[2] == Approx((7.0 - 4) / 4));                                 // mean square of m: 4 -> 28 / 4
  CHECK(terms[3] == Approx(1.0 / 8 / 2));
  CHECK(terms[4] == Approx((0.0 + 16 + 16 + 64) / 4 / 4));                  // second differences 0, 4 | -4, 8
  reward.cost(before, std::vector<float>(8, 1), 0, terms);
  CHECK(terms[2] == 0);                                                     // a loss of energy costs nothing
  reward.cost(before, std::vector<float>{2, 2, 2, 2, 2, 2, 2, NAN}, 0, terms);
  for (double t : terms) CHECK(std::isinf(t));
  o.mass_field = "density";
  CHECK_THROWS_AS(physical_reward(o, info, [](int64_t) { return std::vector<double>{}; }), Error);
  o.mass_field = std::nullopt;
  o.weights = {0, 0, 0, 0, 0, 0};
  CHECK_THROWS_AS(physical_reward(o, info, [](int64_t) { return std::vector<double>{}; }), Error);
}

TEST_CASE("a solver's step has a smaller residual than perturbed ones", "[ttc]") {
  struct Case {
    std::string family, parameter, scheme;
    double value, length, save_every, size;  // size: of the perturbation that must be seen
  };
  for (const Case& c : {Case{"burgers1d", "nu", "solver", 0.01, 1, 0.05, 2e-3}, Case{"burgers1d", "nu", "solver", 0.001, 1, 0.05, 2e-3},
                        Case{"advection1d", "beta", "solver", 1, 1, 0.05, 2e-3}, Case{"ks1d", "", "solver", 22, 22, 1, 2e-4},
                        Case{"ks1d", "", "obreshkov4", 22, 22, 0.5, 2e-3}, Case{"ks1d", "", "obreshkov6", 22, 22, 0.5, 2e-3},
                        Case{"ks1d", "", "crank_nicolson", 22, 22, 0.125, 2e-3}}) {
    INFO(c.family << " " << c.scheme << " " << c.value);
    data::GenerateOptions g;
    g.name = c.family;
    g.nx = c.family == "ks1d" ? 64 : 256;
    g.t_end = 8 * c.save_every, g.save_every = c.save_every;
    g.params[c.parameter.empty() ? "L" : c.parameter] = c.value;
    if (c.family != "ks1d") g.ic = "smooth";
    const data::GenerateSettings settings = data::resolve(g);
    const auto cells = static_cast<size_t>(settings.nx);
    const auto sample = data::find_generator(c.family).make(settings)->sample(1);
    const std::vector<float> frames(sample.frames.begin(), sample.frames.end());
    TtcRewardOptions o;
    o.scheme = c.scheme;
    const TtcReward reward = physical_reward(o, line_info(c.family, settings.nx, c.length, c.save_every, c.parameter),
                                             [&](int64_t) { return std::vector<double>{c.value}; });
    REQUIRE(reward.residual);
    RandomStream random(3);
    for (size_t t = 0; t + 1 < static_cast<size_t>(settings.frames); ++t) {
      const auto before = std::span(frames).subspan(t * cells, cells), after = std::span(frames).subspan((t + 1) * cells, cells);
      const double truth = residual_of(reward, before, after);
      for (int wave = 0; wave < 5; ++wave) {
        std::vector<float> wrong(after.begin(), after.end());
        const double phase = random.uniform(0, 2 * test::kPi);
        for (size_t i = 0; i < cells; ++i) {
          wrong[i] += static_cast<float>(c.size * std::cos(2 * test::kPi * wave * static_cast<double>(i) / static_cast<double>(cells) + phase));
        }
        if (wave > 0 || std::abs(std::cos(phase)) > 0.3) CHECK(truth < residual_of(reward, before, wrong));
      }
    }
  }
}

TEST_CASE("rows, control and report of test-time compute", "[ttc]") {
  test::MovingSines data;
  const auto moved = [](std::span<const float> in, size_t at) { return static_cast<double>(in[at / 32 * 32 + (at + 31) % 32]); };
  EvalModel op, sampler;
  op.name = "operator";
  op.predict = [&](std::span<const float> in, std::span<const float>, std::span<const int64_t>, int64_t, int64_t, std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(0.98 * moved(in, i));
  };
  sampler.name = "corrector_sample", sampler.stochastic = true, sampler.nfe = 4;
  sampler.predict = [&](std::span<const float> in, std::span<const float>, std::span<const int64_t>, int64_t, int64_t member, std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>((0.95 + 0.04 * static_cast<double>(member)) * moved(in, i));  // .95, .99, 1.03
  };
  EvalInput in{data};
  in.initial_step = 3;
  const auto run = [&](double sign) {
    TtcReward reward{{"truth"}, {1}, std::nullopt, [=](std::span<const float> before, std::span<const float> after, int64_t, std::span<double> terms) {
                       terms[0] = 0;
                       for (size_t i = 0; i < after.size(); ++i) terms[0] += sign * std::pow(static_cast<double>(after[i]) - moved(before, i), 2);
                     }};
    const auto search = std::make_shared<TtcSearch>(options_of(4), op, sampler, reward, data.info(), in.initial_step);
    std::vector<EvalModel> models = {op};
    for (EvalModel& m : ttc_models(search)) models.push_back(m);
    CHECK(fit_margin(data, in.initial_step, *search, 2) == (sign > 0 ? 0 : 2.5));  // a reward that misleads is not followed
    search->set_margin(0);
    SetScores scores = evaluate_set(in, models);
    scores.ttc = judge_ttc(data, scores, *search, 4);
    return scores;
  };
  const SetScores good = run(1), bad = run(-1);
  const TtcReport& r = *good.ttc;
  CHECK(r.steps == 36);
  CHECK(r.spearman == Approx(1));
  CHECK(r.error_first == Approx(0.02).epsilon(1e-4));
  CHECK(r.error_chosen == Approx(0.01).epsilon(1e-4));
  CHECK(r.oracle_gain() == Approx(0.5).epsilon(1e-3));
  CHECK(r.achieved() == Approx(1).epsilon(1e-3));
  CHECK(r.error_mean == Approx(1 - (0.98 + 0.95 + 0.99 + 1.03) / 4).epsilon(1e-3));
  CHECK(r.evaluations == 13);
  CHECK_FALSE(r.truth_first);
  CHECK(bad.ttc->spearman == Approx(-1));
  CHECK(bad.ttc->error_chosen == Approx(0.05).epsilon(1e-4));
  const auto rows = make_table({good});
  const auto row = [&](const std::string& name) { return *std::find_if(rows.begin(), rows.end(), [&](const TableRow& t) { return t.model == name; }); };
  CHECK(row("ttc").at("one_step_nrmse") == Approx(0.01).epsilon(1e-4));
  CHECK(row("ttc").at("nfe") == 13);
  CHECK(row("ttc_control_mean").at("one_step_nrmse") == Approx(0.0125).epsilon(1e-3));
  const auto lines = verdict(std::vector<SetScores>{good});
  const auto contains = [&](const std::string& part) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(part) != std::string::npos; });
  };
  CHECK(contains("waves: ttc: helps against its control, the mean of as many candidates"));
  CHECK(contains("waves: ttc: rank correlation of reward (truth) and true error 1.00 over 4 candidates; the best of them is 50.0 % better than operator"));
  CHECK(evaluation_json({good}, {}).find("\"achieved_share\"") != std::string::npos);
}
