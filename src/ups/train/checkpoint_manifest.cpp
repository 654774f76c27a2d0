#include "ups/train/checkpoint_manifest.h"

#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/hash.h"

namespace ups::train::detail {
namespace {

using nlohmann::json;

json to_json(const Manifest& m, bool with_tensors) {
  json j = {{"format", "ups-ckpt"},
            {"version", 1},
            {"stage", m.stage},
            {"step", m.step},
            {"created", m.created},
            {"config_hash", m.config_hash},
            {"split_hash", m.split_hash},
            {"normalizer_hash", m.normalizer_hash},
            {"encoder_hash", m.encoder_hash},
            {"build", m.build},
            {"exact", m.exact},
            {"files", json::object()},
            {"tensors", json::object()},
            {"parents", json::array()}};
  for (const auto& [name, f] : m.files) j["files"][name] = {{"bytes", f.bytes}, {"xxh3_128", f.hash}};
  if (with_tensors) {
    for (const auto& [group, tensors] : m.tensors)
      for (const auto& [name, t] : tensors)
        j["tensors"][group][name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"xxh3_64", t.hash}};
  }
  for (const auto& p : m.parents)
    j["parents"].push_back({{"stage", p.stage}, {"step", p.step}, {"manifest_xxh3_128", p.manifest_hash}});
  return j;
}

std::string seal(json j) {
  j["self"] = hash128_hex(j.dump());
  return j.dump() + "\n";
}

}  // namespace

std::string Manifest::text() const {
  std::string out = seal(to_json(*this, true));
  if (out.size() > kMaxManifest) out = seal(to_json(*this, false));
  return out;
}

json parse_canonical(std::string_view text, const std::string& place) {
  const auto refuse = [&](const std::string& what) -> json { throw checkpoint_error(place, what); };
  if (text.empty() || text.back() != '\n') return refuse("is truncated");
  json j;
  try {
    const auto guard = [&](int depth, json::parse_event_t, json&) {
      // Before anything recursive sees the value.
      if (depth > 16) throw checkpoint_error(place, "is nested too deep");
      return true;
    };
    j = json::parse(text.begin(), text.end() - 1, guard);
  } catch (const json::exception&) {
    return refuse("is not valid JSON");
  }
  if (j.dump() + "\n" != text) return refuse("is not canonical JSON (duplicate keys, other order or spaces)");
  return j;
}

Manifest Manifest::parse(std::string_view text, const std::string& place) {
  json j = parse_canonical(text, place);
  const auto require = [&](bool ok, const std::string& what) {
    if (!ok) throw checkpoint_error(place, what);
  };
  require(j.is_object(), "is not an object");
  require(j.value("format", json()) == "ups-ckpt", "is not a checkpoint manifest");
  require(j.value("version", json()) == 1, "has a version that this program does not know");
  const json self = j.value("self", json());
  j.erase("self");
  require(self == hash128_hex(j.dump()), "hash mismatch in the manifest itself");
  Manifest m;
  try {
    m.stage = j.at("stage").get<std::string>();
    m.created = j.at("created").get<std::string>();
    m.step = j.at("step").get<int64_t>();
    m.config_hash = j.at("config_hash").get<std::string>();
    m.split_hash = j.at("split_hash").get<std::string>();
    m.normalizer_hash = j.at("normalizer_hash").get<std::string>();
    m.encoder_hash = j.at("encoder_hash").get<std::string>();
    m.build = j.at("build").get<std::map<std::string, std::string>>();
    m.exact = j.at("exact").get<std::map<std::string, std::string>>();
    for (const auto& [name, f] : j.at("files").items())
      m.files[name] = {f.at("bytes").get<uint64_t>(), f.at("xxh3_128").get<std::string>()};
    for (const auto& [group, tensors] : j.at("tensors").items()) {
      for (const auto& [name, t] : tensors.items()) {
        m.tensors[group][name] = {t.at("dtype").get<std::string>(), t.at("shape").get<std::vector<int64_t>>(),
                                  t.at("xxh3_64").get<std::string>()};
      }
    }
    for (const auto& p : j.at("parents")) {
      m.parents.push_back(
          {p.at("stage").get<std::string>(), p.at("step").get<int64_t>(), p.at("manifest_xxh3_128").get<std::string>()});
    }
  } catch (const json::exception&) {
    throw checkpoint_error(place, "lacks a field or has one of another type");
  }
  return m;
}

}  // namespace ups::train::detail
