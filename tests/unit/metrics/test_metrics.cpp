// Every metric against values that an independent NumPy program computed (make_reference.py), and identities.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "test_common.h"
#include "ups/core/rng.h"
#include "ups/metrics/darcy.h"
#include "ups/metrics/ensemble.h"
#include "ups/metrics/field_scores.h"
#include "ups/metrics/pdebench.h"
#include "ups/metrics/statistics.h"

using namespace ups::metrics;
using nlohmann::json;

namespace {

const json& reference() {
  static const json kReference = json::parse(std::ifstream(UPS_SOURCE_DIR "/tests/unit/metrics/reference.json"));
  return kReference;
}

Approx near(double v) { return Approx(v).epsilon(1e-9).margin(1e-13); }

Layout layout_of(const json& j) {
  Layout layout{j["frames"], j["channels"], j["grid"].get<std::vector<int64_t>>(), {}};
  if (j.contains("length")) layout.length = j["length"].get<std::vector<double>>();
  return layout;
}

void check_vector(const std::vector<double>& actual, const json& expected, const std::string& name) {
  INFO(name);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    INFO(i);
    if (expected[i].is_null()) {
      CHECK(std::isnan(actual[i]));
    } else {
      CHECK(actual[i] == near(expected[i].get<double>()));
    }
  }
}

}  // namespace

TEST_CASE("field metrics equal NumPy's in 1, 2 and 3 dimensions", "[metrics]") {
  for (const auto& [name, j] : reference()["fields"].items()) {
    INFO(name);
    const auto y = j["truth"].get<std::vector<float>>(), p = j["prediction"].get<std::vector<float>>(),
               context = j["context"].get<std::vector<float>>();
    const int64_t n = j["n"];
    const Layout layout = layout_of(j);
    FieldScores whole(layout, j["times"]), chunked(layout, j["times"]);
    whole.add(n, y, p, context);
    const std::vector<double> p_double(p.begin(), p.end());
    const size_t frame = context.size() / static_cast<size_t>(n);
    for (size_t b = 0; b < static_cast<size_t>(n); ++b) {  // one sample at a time, through the double overload
      chunked.add(1, std::span(y).subspan(b * layout.sample(), layout.sample()),
                  std::span(p_double).subspan(b * layout.sample(), layout.sample()), std::span(context).subspan(b * frame, frame));
    }
    for (const FieldResult& r : {whole.result(), chunked.result()}) {
      const json& expected = j["expected"];
      for (size_t m = 0; m < static_cast<size_t>(Metric::logspec_log1); ++m) {
        const std::string metric = to_string(static_cast<Metric>(m));
        check_vector(r.values[m], expected[metric], metric);
      }
      CHECK(r.live == expected["live"].get<std::vector<int64_t>>());
      CHECK(r.rel_l2 == near(expected["rel_l2"]));
      CHECK(r.correlation[0].median == near(expected["correlation"][0]));
      CHECK(r.correlation[0].censored == near(expected["correlation"][1]));
      CHECK(r.diverged == 0);
    }
  }
}

TEST_CASE("dead samples are left out of nRMSE and counted", "[metrics]") {
  const json& j = reference()["fields"]["1d"];
  const auto y = j["truth"].get<std::vector<float>>(), p = j["prediction"].get<std::vector<float>>(),
             context = j["context"].get<std::vector<float>>();
  FieldScores scores(layout_of(j), j["times"]);
  scores.add(j["n"], y, p, context);
  const FieldResult r = scores.result();
  CHECK(r.dead() == 1);
  CHECK(r.mean(Metric::nrmse) < 5);  // the dead field alone would give more than 1e3
  FieldScores with(layout_of(j), j["times"]);
  with.add(j["n"], y, p, {});  // without a context frame only exact zeros are dead
  CHECK(with.result().mean(Metric::nrmse) > 100);
}

TEST_CASE("ensemble scores equal NumPy's", "[metrics]") {
  for (const auto& [name, j] : reference()["ensembles"].items()) {
    INFO(name);
    const auto y = j["truth"].get<std::vector<float>>(), x = j["members"].get<std::vector<float>>();
    EnsembleScores scores(layout_of(j), j["m"]);
    std::vector<double> mean(y.size());
    scores.add(j["n"], y, x, mean);
    const EnsembleResult r = scores.result();
    const json& expected = j["expected"];
    check_vector(r.crps, expected["crps"], "crps");
    check_vector(r.spread, expected["spread"], "spread");
    check_vector(r.spread_skill, expected["spread_skill"], "spread_skill");
    check_vector(r.spearman, expected["spearman"], "spearman");
    check_vector(r.rank_histogram, expected["rank_histogram"], "rank_histogram");
    CHECK(r.rank_chi2 == near(expected["rank_chi2"]));
    CHECK(r.coverage90 == near(expected["coverage90"]));
    REQUIRE(r.coverage.size() == expected["coverage"].size());
    for (size_t i = 0; i < r.coverage.size(); ++i) {
      CHECK(r.coverage[i].nominal == near(expected["coverage"][i][0]));
      CHECK(r.coverage[i].actual == near(expected["coverage"][i][1]));
    }
  }
}

TEST_CASE("summaries of cells equal NumPy's; one bad member spoils its cell only", "[metrics]") {
  for (const auto& [name, j] : reference()["ensembles"].items()) {
    INFO(name);
    auto x = j["members"].get<std::vector<float>>();
    const json& expected = j["expected"];
    const size_t n = j["n"], m = j["m"], one = x.size() / n, cells = one / m;
    const auto rows = [&](const char* key, size_t b) {
      const auto all = expected[key].get<std::vector<double>>();
      return std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(b * cells), all.begin() + static_cast<std::ptrdiff_t>((b + 1) * cells));
    };
    for (size_t b = 0; b < n; ++b) {
      const CellSummary s = summarise_cells(std::span(x).subspan(b * one, one), static_cast<int64_t>(m));
      for (const auto& [key, values] : std::map<std::string, std::vector<float>>{{"mean", s.mean}, {"std", s.std}, {"q05", s.q05}, {"q95", s.q95}}) {
        INFO(key);
        const auto wanted = rows(key.c_str(), b);
        for (size_t i = 0; i < cells; ++i) CHECK(static_cast<double>(values[i]) == Approx(wanted[i]).epsilon(1e-6).margin(1e-6));
      }
      std::vector<double> first;
      for (size_t k = 0; k < m; ++k) first.push_back(x[b * one + k * cells]);
      std::sort(first.begin(), first.end());
      CHECK(ensemble_quantile(first, 0.3) == near(rows("q30", b)[0]));
    }
    x[cells + 3] = std::numeric_limits<float>::infinity();
    const CellSummary s = summarise_cells(std::span(x).first(one), static_cast<int64_t>(m));
    for (const auto* v : {&s.mean, &s.std, &s.q05, &s.q95}) {
      CHECK(std::isnan((*v)[3]));
      CHECK(std::isfinite((*v)[2]));
    }
  }
}

TEST_CASE("a truth that the members equal shares its rank evenly; exchangeable members cover what they promise", "[metrics]") {
  const Layout point{1, 1, {1}, {}};
  EnsembleScores tied(point, 3);
  std::vector<double> mean(1);
  tied.add(1, std::vector<float>{2}, std::vector<float>{2, 2, 5}, mean);
  check_vector(tied.result().rank_histogram, {1.0 / 3, 1.0 / 3, 1.0 / 3, 0.0}, "ties");
  const Layout many{1, 1, {20000}, {}};
  ups::RandomStream random(5);
  std::vector<float> y(20000), x(20000 * 9);
  for (auto* v : {&y, &x}) {
    for (float& value : *v) value = static_cast<float>(std::exp(random.normal()));
  }
  EnsembleScores scores(many, 9);
  mean.resize(20000);
  scores.add(1, y, x, mean);
  const EnsembleResult r = scores.result();
  REQUIRE(r.coverage.size() == 4);
  CHECK(r.coverage.back().nominal == near(0.8));
  for (const Coverage& c : r.coverage) CHECK(c.actual == Approx(c.nominal).margin(0.01));
}

TEST_CASE("Darcy residual and PCG errors equal a dense solver's", "[metrics]") {
  for (const auto& [name, j] : reference()["darcy"].items()) {
    INFO(name);
    const auto a = j["a"].get<std::vector<double>>(), start = j["start"].get<std::vector<double>>(),
               truth = j["truth"].get<std::vector<double>>();
    const DarcyOperator op(j["nx"], j["ny"], 1, 1, a, name == "harmonic" ? DarcyFaces::harmonic : DarcyFaces::arithmetic);
    const double f = j["f"];
    CHECK(op.relative_residual(start, f) == near(j["expected"]["residual"]));
    CHECK(op.relative_residual(truth, f) < 1e-12);
    const std::vector<int64_t> iterations = {3, 7};
    const auto u = op.pcg(start, f, iterations);
    for (size_t k = 0; k < 2; ++k) CHECK(relative_l2(u[k], truth) == Approx(j["expected"]["error"][k].get<double>()).epsilon(1e-8));
    const std::vector<int64_t> many = {200};
    CHECK(relative_l2(op.pcg(std::vector<double>(a.size(), 0.0), f, many)[0], truth) < 1e-9);
  }
}

TEST_CASE("identities of the metrics", "[metrics]") {
  const Layout layout{2, 1, {64}, {1.0}};
  ups::RandomStream random(7);
  std::vector<float> y(5 * layout.sample());
  for (float& v : y) v = static_cast<float>(random.normal() + 3);
  SECTION("VRMSE of the spatial mean is 1 - O(1/N)") {
    std::vector<float> p(y.size());
    for (size_t i = 0; i < y.size(); i += 64) {
      double mean = 0;
      for (size_t k = 0; k < 64; ++k) mean += y[i + k] / 64.0;
      std::fill_n(p.begin() + static_cast<std::ptrdiff_t>(i), 64, static_cast<float>(mean));
    }
    FieldScores scores(layout, {1, 2});
    scores.add(5, y, p, {});
    CHECK(scores.result().mean(Metric::vrmse) == Approx(std::sqrt(63.0 / 64)).epsilon(1e-5));
    CHECK(scores.result().mean(Metric::crmse) < 1e-6);
  }
  SECTION("a perfect prediction has no error and is never decorrelated") {
    FieldScores scores(layout, {1, 2});
    scores.add(5, y, y, {});
    const FieldResult r = scores.result();
    for (Metric m : {Metric::nrmse, Metric::nrmse_pooled, Metric::vrmse, Metric::max_error, Metric::frmse_low, Metric::logspec_high}) {
      CHECK(r.mean(m) == 0);
    }
    CHECK(r.correlation[2].censored == 1);
    CHECK(r.correlation[2].median == 2);
  }
  SECTION("a prediction that is not finite poisons the means and is counted") {
    std::vector<float> p = y;
    p[3] = std::nanf("");
    FieldScores scores(layout, {1, 2});
    scores.add(5, y, p, {});
    const FieldResult r = scores.result();
    CHECK(r.diverged == 1);
    for (Metric m : {Metric::nrmse, Metric::nrmse_pooled, Metric::max_error, Metric::frmse_low, Metric::logspec_low}) {
      INFO(to_string(m));
      CHECK_FALSE(std::isfinite(r.mean(m)));
    }
    CHECK(std::isfinite(r.frame_mean(Metric::nrmse, 1)));
  }
  SECTION("PDEBench's exact averaging: 20 batches give 20/19 of the mean, one batch gives inf") {
    const PdebenchBatch batch = pdebench_batch(layout, 5, y, std::vector<float>(y.size(), 3.0F));
    PdebenchExact exact;
    exact.add(batch);
    CHECK(std::isinf(exact.result().nrmse));
    CHECK(std::isinf(exact.result().frmse[2]));
    for (int i = 1; i < 20; ++i) exact.add(batch);
    CHECK(exact.result().nrmse == Approx(batch.nrmse * 20 / 19).epsilon(1e-12));
    CHECK(exact.result().max_error == Approx(batch.max_error * 20 / 19).epsilon(1e-12));
  }
}

TEST_CASE("PDEBench's 3-D boundary error sums over channels and has no batch mean", "[metrics]") {
  const json& j = reference()["fields"]["3d"];
  const auto y = j["truth"].get<std::vector<float>>(), p = j["prediction"].get<std::vector<float>>();
  const Layout layout = layout_of(j);
  const double exact = pdebench_batch(layout, j["n"], y, p).brmse;
  // sqrt(sum_c b_c^2) per sample, where b_c is the boundary error of one channel.
  double expected = 0;
  for (size_t b = 0; b < 2; ++b) {
    FieldScores one(layout, {1});
    one.add(1, std::span(y).subspan(b * layout.sample(), layout.sample()), std::span(p).subspan(b * layout.sample(), layout.sample()), {});
    const FieldResult r = one.result();
    expected += 0.5 * std::hypot(r.per_frame(Metric::brmse)[0], r.per_frame(Metric::brmse)[1]);
  }
  CHECK(exact == near(expected));
}

TEST_CASE("fair CRPS of Gaussian members is sigma / sqrt(pi) for every M", "[metrics]") {
  for (size_t m : {size_t{2}, size_t{8}}) {
    ups::RandomStream random(11, m);
    const double sigma = 1.7;
    const int count = 400000;
    double sum = 0, spread = 0, error = 0;
    std::vector<double> x(m);
    for (int i = 0; i < count; ++i) {
      double mean = 0;
      for (double& v : x) mean += (v = sigma * random.normal()) / static_cast<double>(m);
      double squares = 0;
      for (double v : x) squares += (v - mean) * (v - mean) / static_cast<double>(m - 1);
      const double y = sigma * random.normal();
      spread += squares, error += (y - mean) * (y - mean);
      sum += fair_crps(x, y);
    }
    const double pi = std::acos(-1.0);
    CHECK(sum / count == Approx(sigma / std::sqrt(pi)).epsilon(0.01));
    CHECK(std::sqrt((1.0 + 1.0 / static_cast<double>(m)) * spread / error) == Approx(1).epsilon(0.01));
  }
}

TEST_CASE("small statistics", "[metrics]") {
  CHECK(average_ranks(std::vector<double>{3, 1, 3, 2}) == std::vector<double>{3.5, 1, 3.5, 2});
  CHECK(spearman(std::vector<double>{1, 2, 3}, std::vector<double>{10, 100, 1000}) == Approx(1));
  CHECK(std::isnan(pearson(std::vector<double>{1, 1}, std::vector<double>{1, 2})));
  CHECK(median({4, 1, 3, 2}) == 2.5);
  // 95 % quantiles of Student's t from tables.
  CHECK(student_t95(1) == Approx(6.3138).epsilon(1e-4));
  CHECK(student_t95(7) == Approx(1.8946).epsilon(1e-4));
  CHECK(student_t95(9) == Approx(1.8331).epsilon(1e-4));
  CHECK(student_t95(30) == Approx(1.6973).epsilon(1e-4));
}
