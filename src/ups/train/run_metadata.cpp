// The small JSON files of a run directory: env.json, stage_status.json, metadata.json.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "ups/core/text.h"
#include "ups/train/run_dir.h"

namespace ups::train {
namespace {

bool recorded(const std::string& name) {
  static constexpr std::string_view kPrefixes[] = {"CUDA_", "OMP_", "MKL_", "SLURM_", "TORCH", "NCCL_", "UPS_"};
  static constexpr std::string_view kSecrets[] = {"TOKEN", "KEY", "SECRET", "PASS", "JWT", "CRED"};
  for (const auto s : kSecrets)
    if (name.find(s) != std::string::npos) return false;
  for (const auto p : kPrefixes)
    if (starts_with(name, p)) return true;
  return name == "LANG" || name == "TZ";
}

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(escape_text(text));
}

}  // namespace

std::string env_json(const std::map<std::string, std::string>& facts) {
  nlohmann::json j = {{"variables", nlohmann::json::object()}, {"facts", nlohmann::json::object()}};
  for (const auto& [key, value] : facts) j["facts"][key] = escape_text(value);
  for (char** e = environ; e != nullptr && *e != nullptr; ++e) {
    const std::string entry = *e;
    const size_t equal = entry.find('=');
    if (equal == std::string::npos || !recorded(entry.substr(0, equal))) continue;
    j["variables"][escape_text(entry.substr(0, equal))] = escape_text(entry.substr(equal + 1));
  }
  return j.dump(2) + "\n";
}

std::string stage_status_json(const std::vector<StageStatus>& stages) {
  nlohmann::ordered_json j;
  j["schema_version"] = 1;
  j["stages"] = nlohmann::ordered_json::object();
  for (const auto& s : stages) {
    auto& out = j["stages"][s.stage];
    out["status"] = s.status;
    out["checkpoint"] = text_or_null(s.checkpoint);
    out["started_at"] = text_or_null(s.started_at);
    out["completed_at"] = text_or_null(s.completed_at);
    out["epoch"] = s.epoch;
    out["total_epochs"] = s.total_epochs;
    out["error_message"] = text_or_null(s.error_message);
  }
  return j.dump(2) + "\n";
}

std::string metadata_json(const ExportMetadata& m) {
  nlohmann::ordered_json j;
  j["arch"] = nlohmann::ordered_json::object();
  for (const auto& [key, value] : m.arch) j["arch"][key] = value;
  j["arch"]["operator_depths"] = m.operator_depths;
  j["trained"] = m.trained;
  j["config_hash"] = m.config_hash;
  j["config_path"] = escape_text(m.config_path);
  j["ups_loadable"] = m.ups_loadable;
  return j.dump(2) + "\n";
}

}  // namespace ups::train
