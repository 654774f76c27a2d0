// Shared by the run_config*.cpp files only.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "ups/config/reader.h"
#include "ups/run/run_config.h"

namespace ups::run {

const config::Schema& run_schema();

// A key that moved: read from `from`, stored as `to`. UPS files use the old places.
struct MovedKey {
  const char* from;
  const char* to;
};
extern const std::vector<MovedKey> kMovedKeys;

// Honoured keys whose feature is not built yet: accepted with one notice. Delete an entry when its key is read.
extern const std::vector<std::string> kNoEffectYet;
bool has_no_effect_yet(const std::string& path);

// Cross-field rules; findings carry the places of the keys they blame.
class Checker {
 public:
  Checker(const RunConfig& config, const std::map<std::string, config::Place>& places, config::Findings& findings,
          const std::string& stage)
      : c_(config), tree_(*config::node_of(config)), places_(places), findings_(findings), stage_(stage) {}
  void run();

 private:
  bool given(const std::string& path) const { return places_.count(path) > 0; }
  void error(const std::string& path, const std::string& what, const std::string& hint = {});
  void notice(const std::string& path, const std::string& text);
  bool selected(const std::string& stage) const { return stage_ == "all" || stage_ == stage; }
  void data(const data::DataOptions& d, const std::string& path);
  void context();
  void latent();
  void corrector();
  void pdet(const models::PdetOptions& given_sizes, const models::PdetOptions& p, const std::string& path);
  void later_values();
  void texts();
  void optimizer(const optim::OptimizerOptions& o, const std::string& path);
  void scheduler(const optim::SchedulerOptions& s, const std::string& path, double lr, std::optional<int64_t> epochs);
  void stage_blocks();
  void hidden_overrides();
  void reference_keys();
  void pending_keys();

  // Given, and not merely repeating the default (as a saved configuration does).
  bool changed(const std::string& path) const;

  const RunConfig& c_;
  const config::Node tree_;
  const std::map<std::string, config::Place>& places_;
  config::Findings& findings_;
  std::string stage_;
};

// The common part of a stage block; nullptr for unknown names.
const stages::StageCommon* stage_block(const RunConfig& config, const std::string& stage);
bool uses_reference(const RunConfig& config);

}  // namespace ups::run
