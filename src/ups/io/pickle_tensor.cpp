// The part of the unpickler that makes tensors: storages and torch._utils._rebuild_tensor_v2.
#include <ATen/ATen.h>

#include <cstring>
#include <limits>

#include "ups/io/pickle_reader.h"

namespace ups::io::detail {
namespace {
constexpr int64_t kMaxTensors = 10'000;
}

// Persistent id: ('storage', <class>, key, device, number of elements).
PickleReader::Node* PickleReader::storage(const Node* id) {
  require(id->kind == Node::tuple && id->items.size() == 5, "bad storage id");
  const Node *type = id->items[1], *key = id->items[2], *count = id->items[4];
  require(type->kind == Node::global && type->dtype != at::ScalarType::Undefined, "bad storage class");
  require(key->kind == Node::text && count->kind == Node::integer && count->i >= 0, "bad storage id");
  Node*& slot = storages_[key->s];
  if (slot == nullptr) {
    const auto bytes = zip_.read("data/" + key->s);
    const auto item = static_cast<size_t>(c10::elementSize(type->dtype));
    if (type->dtype == at::kBool) {
      for (const char c : bytes) require(c == 0 || c == 1, "bad boolean");
    }
    slot = make(Node::storage);
    slot->dtype = type->dtype;
    // Entries may be unaligned inside the file: copy.
    slot->value = at::empty({static_cast<int64_t>(bytes.size() / item)}, at::TensorOptions().dtype(type->dtype));
    if (!bytes.empty()) std::memcpy(slot->value.data_ptr(), bytes.data(), slot->value.nbytes());
  }
  require(slot->dtype == type->dtype, "one storage with two dtypes");
  require(count->i <= slot->value.numel(), "storage shorter than declared");
  return slot;
}

// (storage, offset, sizes, strides, requires_grad, hooks): copied out contiguously, so shared storages do not stay shared.
PickleReader::Node* PickleReader::rebuild_tensor(const Node* args) {
  const auto& a = args->items;
  require(a.size() >= 4 && a[0]->kind == Node::storage && a[1]->kind == Node::integer && a[2]->kind == Node::tuple &&
              a[3]->kind == Node::tuple,
          "bad tensor");
  require(++tensors_ <= kMaxTensors, "more than 10000 tensors");
  const Node* store = a[0];
  std::vector<int64_t> sizes, strides;
  for (const Node* x : a[2]->items) {
    require(x->kind == Node::integer && x->i >= 0, "bad tensor size");
    sizes.push_back(x->i);
  }
  for (const Node* x : a[3]->items) {
    require(x->kind == Node::integer && x->i >= 0, "bad tensor stride");
    strides.push_back(x->i);
  }
  require(sizes.size() == strides.size() && sizes.size() <= 64 && a[1]->i >= 0, "bad tensor geometry");
  // The last addressed element must lie inside the stored bytes; the copy must fit the budget (stride 0 repeats data for
  // free).
  __extension__ using Wide = unsigned __int128;
  const Wide stored = static_cast<Wide>(store->value.numel());
  Wide last = static_cast<Wide>(a[1]->i), count = 1;
  const auto item = static_cast<uint64_t>(c10::elementSize(store->dtype));
  bool empty = false;
  for (const int64_t s : sizes) empty |= s == 0;
  for (size_t k = 0; k < sizes.size(); ++k) {
    if (empty) {
      require(sizes[k] <= std::numeric_limits<int32_t>::max(),
              "tensor too large");  // keeps ATen's stride products in range
      continue;
    }
    last += static_cast<Wide>(sizes[k] - 1) * static_cast<uint64_t>(strides[k]);
    count *= static_cast<uint64_t>(sizes[k]);
    require(count * item <= budget_, "tensors larger than the file explains");
    require(last < stored, "tensor reaches past its storage");
  }
  require(!empty || sizes.size() <= 8, "empty tensor of more than 8 dimensions");
  if (!empty) require(last < stored, "tensor reaches past its storage");
  Node* n = make(Node::tensor);
  try {
    n->value = at::empty(sizes, store->value.options());
  } catch (const c10::Error&) {
    refuse("tensor shape overflows");
  }
  if (empty) return n;
  budget_ -= static_cast<uint64_t>(count) * item;
  n->value.copy_(store->value.as_strided(sizes, strides, a[1]->i));
  return n;
}

}  // namespace ups::io::detail
