#include "ups/io/torch_file.h"

#include <ATen/ATen.h>

#include <bit>
#include <cassert>
#include <limits>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/pickle_reader.h"
#include "ups/io/zip.h"

namespace ups::io {
namespace {

// Pickle protocol 2 without memo: every value is written where it stands.
class PickleWriter {
 public:
  std::string pickle = std::string("\x80\x02", 2);
  std::vector<at::Tensor> storages;

  void value(const PtValue& v) {
    using Kind = PtValue::Kind;
    switch (v.kind) {
      case Kind::none: pickle += 'N'; return;
      case Kind::boolean: pickle += v.integer != 0 ? '\x88' : '\x89'; return;
      case Kind::integer: integer(v.integer); return;
      case Kind::real: {
        pickle += 'G';
        const auto bits = std::bit_cast<uint64_t>(v.real);
        for (int i = 7; i >= 0; --i) pickle += static_cast<char>(bits >> (8 * i) & 0xff);
        return;
      }
      case Kind::text: text(v.text); return;
      case Kind::tuple:
        pickle += '(';
        for (const auto& x : v.items) value(x);
        pickle += 't';
        return;
      case Kind::list:
        pickle += "](";
        for (const auto& x : v.items) value(x);
        pickle += 'e';
        return;
      case Kind::dict:
        pickle += "}(";
        for (const auto& p : v.pairs) {
          value(p.key);
          value(p.value);
        }
        pickle += 'u';
        return;
      case Kind::tensor: tensor(v.tensor); return;
    }
  }

 private:
  void bytes(uint64_t v, int width) {
    for (int i = 0; i < width; ++i) pickle += static_cast<char>(v >> (8 * i) & 0xff);
  }
  void integer(int64_t v) {
    if (v >= std::numeric_limits<int32_t>::min() && v <= std::numeric_limits<int32_t>::max()) {
      pickle += 'J';
      bytes(static_cast<uint32_t>(v), 4);
    } else {
      pickle += "\x8a\x08";
      bytes(static_cast<uint64_t>(v), 8);
    }
  }
  void text(const std::string& s) {
    pickle += 'X';
    bytes(s.size(), 4);
    pickle += s;
  }
  static const char* storage_name(at::ScalarType type) {
    switch (type) {
      case at::kFloat: return "FloatStorage";
      case at::kDouble: return "DoubleStorage";
      case at::kHalf: return "HalfStorage";
      case at::kBFloat16: return "BFloat16Storage";
      case at::kLong: return "LongStorage";
      case at::kInt: return "IntStorage";
      case at::kShort: return "ShortStorage";
      case at::kByte: return "ByteStorage";
      case at::kBool: return "BoolStorage";
      default: return nullptr;
    }
  }
  void tensor(const at::Tensor& given) {
    const at::Tensor t = given.detach().to(at::kCPU).contiguous();
    const char* storage = storage_name(t.scalar_type());
    TORCH_INTERNAL_ASSERT(storage != nullptr, "no .pt storage for this dtype");
    pickle += "ctorch._utils\n_rebuild_tensor_v2\n((";
    text("storage");
    pickle += std::string("ctorch\n") + storage + "\n";
    text(std::to_string(storages.size()));
    text("cpu");
    integer(t.numel());
    pickle += "tQ";
    integer(0);
    for (const auto list : {t.sizes(), t.strides()}) {
      pickle += '(';
      for (const int64_t n : list) integer(n);
      pickle += 't';
    }
    pickle += '\x89';                             // requires_grad False
    pickle += "ccollections\nOrderedDict\n)RtR";  // no hooks
    storages.push_back(t);
  }
};

// "_orig_mod." comes from torch.compile and may stand at any level.
std::string clean_name(std::string name) {
  static const std::string kPrefix = "_orig_mod.";
  for (size_t at = name.find(kPrefix); at != std::string::npos; at = name.find(kPrefix, at)) {
    if (at == 0 || name[at - 1] == '.')
      name.erase(at, kPrefix.size());
    else
      at += kPrefix.size();
  }
  return name;
}

NamedTensors state_dict(const PtValue& root, const std::string& place) {
  const PtValue* dict = &root;
  if (const PtValue* inner = root.find("state_dict"); inner != nullptr && inner->is(PtValue::Kind::dict)) dict = inner;
  if (!dict->is(PtValue::Kind::dict)) throw checkpoint_error(place, "holds no state dict", "save model.state_dict()");
  NamedTensors out;
  std::set<std::string> names;
  for (const auto& p : dict->pairs) {
    if (!p.key.is(PtValue::Kind::text) || !p.value.is(PtValue::Kind::tensor)) {
      const std::string key = p.key.is(PtValue::Kind::text) ? p.key.text : std::to_string(p.key.integer);
      throw checkpoint_error(place, "is not a state dict: '" + clip_text(key, 80) + "' is not a named tensor",
                             "save model.state_dict()");
    }
    out.emplace_back(clean_name(p.key.text), p.value.tensor);
    if (!names.insert(out.back().first).second)
      throw checkpoint_error(place, "two tensors are named '" + clip_text(out.back().first, 80) + "'");
  }
  return out;
}

}  // namespace

void save_pt_tree(const std::filesystem::path& path, const PtValue& root) {
  PickleWriter p;
  p.value(root);
  p.pickle += '.';
  uint64_t expected = p.pickle.size() + 1024;
  for (const auto& t : p.storages) expected += t.nbytes() + 192;
  write_atomic(
      path,
      [&](OutputFile& file) {
        ZipWriter zip(file, "archive");
        zip.add("data.pkl", p.pickle.data(), p.pickle.size());
        zip.add("byteorder", "little", 6);
        for (size_t i = 0; i < p.storages.size(); ++i)
          zip.add("data/" + std::to_string(i), p.storages[i].data_ptr(), p.storages[i].nbytes());
        zip.add("version", "3\n", 2);
        zip.finish();
      },
      expected);
}

void save_pt(const std::filesystem::path& path, const NamedTensors& tensors) {
  PtValue root = PtValue::make_dict();
  for (const auto& [name, tensor] : tensors) root.set(name, PtValue::of_tensor(tensor));
  save_pt_tree(path, root);
}

PtValue parse_pt(std::span<const char> bytes, const std::string& place) {
  ZipReader zip(bytes, place);
  if (zip.has("byteorder")) {
    const auto order = zip.read("byteorder");
    if (std::string_view(order.data(), order.size()) != "little")
      throw checkpoint_error(place, "was not written on a little-endian machine");
  }
  const auto pickle = zip.read("data.pkl");
  if (pickle.size() > (size_t{16} << 20)) throw checkpoint_error(place, "data.pkl is larger than 16 MiB");
  detail::PickleReader reader({pickle.data(), pickle.size()}, zip, place,
                              8 * uint64_t{bytes.size()} + (uint64_t{64} << 20));
  return reader.load();
}

PtValue load_pt_tree(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path, {.code = ExitCode::checkpoint});
  return parse_pt(bytes.span(), path.string());
}

NamedTensors load_pt(const std::filesystem::path& path) { return state_dict(load_pt_tree(path), path.string()); }

NamedTensors load_weights(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path, {.code = ExitCode::checkpoint});
  const bool zip = bytes.size >= 4 && bytes.text().substr(0, 2) == "PK";
  if (zip) return state_dict(parse_pt(bytes.span(), path.string()), path.string());
  NamedTensors out = tensors_from_safetensors(bytes.span(), path.string());
  for (auto& [name, tensor] : out) name = clean_name(std::move(name));
  return out;
}

}  // namespace ups::io
