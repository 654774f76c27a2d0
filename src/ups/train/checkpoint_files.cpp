#include "ups/train/checkpoint_files.h"

#include <ATen/ATen.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/text.h"
#include "ups/train/checkpoint_manifest.h"
#include "ups/train/run_dir.h"

namespace ups::train::detail {
namespace {

struct Group {
  const char* name;
  io::NamedTensors CheckpointContent::* member;
  bool listed;  // tensor by tensor in the manifest
};
constexpr std::array<Group, 4> kGroups{{{"model", &CheckpointContent::model, true},
                                        {"ema", &CheckpointContent::ema, true},
                                        {"optim", &CheckpointContent::optim, false},
                                        {"rng", &CheckpointContent::rng, false}}};

std::string file_name(const Group& g) { return std::string(g.name) + ".safetensors"; }

std::string state_text(const CheckpointContent& c) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const nlohmann::json j = {
      {"version", 1},
      {"stage", c.stage},
      {"step", c.step},
      {"state", nlohmann::json::parse(c.state_json)},
      {"volatile", {{"time", utc_now()}, {"host", escape_text(host)}, {"pid", static_cast<int64_t>(getpid())}}}};
  return j.dump() + "\n";
}

std::set<std::string> list_directory(int dir_fd, const std::string& place) {
  const int copy = ::openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = copy < 0 ? nullptr : ::fdopendir(copy);
  if (dir == nullptr) {
    const int error = errno;
    if (copy >= 0) ::close(copy);
    io::throw_errno(error, place, "list the directory");
  }
  std::set<std::string> out;
  while (const dirent* e = ::readdir(dir)) {
    const std::string name = e->d_name;
    if (name != "." && name != "..") out.insert(name);
    if (out.size() > 64) break;  // far more than a checkpoint holds
  }
  ::closedir(dir);
  return out;
}

}  // namespace

uint64_t estimate_bytes(const CheckpointContent& c) {
  uint64_t bytes = 65536;
  for (const auto& g : kGroups)
    for (const auto& [name, tensor] : c.*g.member) bytes += tensor.nbytes() + name.size() + 256;
  return bytes;
}

std::string find_non_finite(const CheckpointContent& c) {
  for (const auto& g : kGroups) {
    if (std::string_view(g.name) == "rng") continue;
    for (const auto& [name, tensor] : c.*g.member) {
      if (!at::isFloatingType(tensor.scalar_type())) continue;
      // x * 0 is NaN exactly where x is not finite.
      if (!at::isfinite(at::sum(tensor.detach().mul(0))).item<bool>()) return std::string(g.name) + ": " + name;
    }
  }
  return {};
}

void write_checkpoint(int dir_fd, const std::string& place, const CheckpointContent& c) {
  Manifest m;
  m.stage = c.stage;
  m.step = c.step;
  m.created = utc_now();
  m.parents = c.parents;
  m.config_hash = c.config_hash;
  m.split_hash = c.split_hash;
  m.normalizer_hash = c.normalizer_hash;
  m.encoder_hash = c.encoder_hash;
  m.build = c.build;
  m.exact = c.exact;
  const auto finish = [&](io::OutputFile& file, const std::string& name) {
    file.sync();
    file.close();
    m.files[name] = {file.bytes(), file.hash()};
  };
  const uint64_t need = estimate_bytes(c);
  for (const auto& g : kGroups) {
    if ((c.*g.member).empty() && std::string_view(g.name) != "model") continue;
    const auto views = io::view_tensors(c.*g.member);
    const std::string name = file_name(g);
    io::OutputFile file(dir_fd, name, place + "/" + name, need);
    io::write_safetensors(file, views.views, {{"format", "pt"}});
    finish(file, name);
    if (!g.listed) continue;
    for (const auto& v : views.views) m.tensors[g.name][v.name] = {v.dtype, v.shape, hash64_hex(v.data, v.bytes)};
  }
  io::OutputFile state(dir_fd, "state.json", place + "/state.json", need);
  state.write(state_text(c));
  finish(state, "state.json");
  io::OutputFile manifest(dir_fd, "MANIFEST.json", place + "/MANIFEST.json", need);
  manifest.write(m.text());
  manifest.sync();
  manifest.close();
  io::sync_directory(dir_fd, place);
}

CheckpointContent read_checkpoint(const std::filesystem::path& dir) {
  const std::string place = dir.string();
  const auto refuse = [&](const std::string& file, const std::string& what) {
    throw checkpoint_error(place, file + ": " + what);
  };
  const io::Fd fd(::openat(AT_FDCWD, dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    if (errno == EMFILE || errno == ENFILE || errno == EACCES || errno == EIO)
      io::throw_errno(errno, place, "open the checkpoint");
    throw checkpoint_error(place, "is not a checkpoint directory");
  }
  const auto read = [&](const std::string& name, uint64_t max) {
    return io::read_file_at(fd.get(), name, place + "/" + name,
                            {.max_bytes = max, .code = ExitCode::checkpoint, .follow = false});
  };
  const io::Bytes manifest_bytes = read("MANIFEST.json", kMaxManifest);
  const Manifest m = Manifest::parse(manifest_bytes.text(), place + "/MANIFEST.json");

  std::set<std::string> expected{"MANIFEST.json"};
  for (const auto& [name, record] : m.files) expected.insert(name);
  const std::set<std::string> found = list_directory(fd.get(), place);
  for (const auto& name : expected)
    if (found.count(name) == 0) refuse(name, "is missing");
  for (const auto& name : found)
    if (expected.count(name) == 0) refuse(escape_text(name), "does not belong into the checkpoint");

  CheckpointContent c;
  c.path = dir;
  c.manifest_hash = hash128_hex(manifest_bytes.text());
  c.stage = m.stage;
  c.step = m.step;
  c.parents = m.parents;
  c.config_hash = m.config_hash;
  c.split_hash = m.split_hash;
  c.normalizer_hash = m.normalizer_hash;
  c.encoder_hash = m.encoder_hash;
  c.build = m.build;
  c.exact = m.exact;

  const auto verified = [&](const std::string& name) {
    const auto record = m.files.find(name);
    if (record == m.files.end()) refuse(name, "is missing from the manifest");
    io::Bytes bytes = read(name, uint64_t{64} << 30);
    if (bytes.size != record->second.bytes) {
      refuse(name, "size mismatch (expected " + std::to_string(record->second.bytes) + ", found " +
                       std::to_string(bytes.size) + " bytes)");
    }
    const std::string hash = hash128_hex(bytes.text());
    if (hash != record->second.hash)
      refuse(name, "hash mismatch (expected " + record->second.hash + ", found " + hash + ")");
    return bytes;
  };
  for (const auto& g : kGroups) {
    const std::string name = file_name(g);
    if (m.files.count(name) == 0 && std::string_view(g.name) != "model") continue;
    const io::Bytes bytes = verified(name);
    c.*g.member = io::tensors_from_safetensors(bytes.span(), place + "/" + name);
    const auto group = m.tensors.find(g.name);
    if (group == m.tensors.end()) continue;
    if (group->second.size() != (c.*g.member).size()) refuse(name, "holds other tensors than the manifest");
    for (const auto& [tensor_name, tensor] : c.*g.member) {
      const auto record = group->second.find(tensor_name);
      if (record == group->second.end() || record->second.shape != tensor.sizes().vec() ||
          record->second.dtype != io::dtype_name(tensor.scalar_type()) ||
          record->second.hash != hash64_hex(tensor.data_ptr(), tensor.nbytes())) {
        refuse(name, "tensor '" + tensor_name + "' differs from the manifest");
      }
    }
  }
  const io::Bytes state = verified("state.json");
  for (const auto& file : m.files) {
    const std::string& name = file.first;
    const bool known = name == "state.json" ||
                       std::any_of(kGroups.begin(), kGroups.end(), [&](const Group& g) { return file_name(g) == name; });
    if (!known) refuse(escape_text(name), "is unknown to this version");
  }
  const auto j = parse_canonical(state.text(), place + "/state.json");
  if (!j.is_object() || j.value("version", 0) != 1 || !j.contains("state") || j.value("stage", "") != c.stage ||
      j.value("step", int64_t{-1}) != c.step) {
    refuse("state.json", "does not belong to this checkpoint");
  }
  c.state_json = j.at("state").dump();
  return c;
}

}  // namespace ups::train::detail
