// The allow-listing unpickler behind io/torch_file. Knows a fixed set of opcodes and globals; everything else is refused,
// so no code of the file's author ever runs. Private to the io folder.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ups/io/pt_value.h"
#include "ups/io/zip.h"

namespace ups::io::detail {

class PickleReader {
 public:
  // pickle: data.pkl; storages are read from zip as "data/KEY". max_bytes bounds the sum of all tensors made.
  PickleReader(std::string_view pickle, ZipReader& zip, std::string place, uint64_t max_bytes)
      : in_(pickle), zip_(zip), place_(std::move(place)), budget_(max_bytes) {}
  PtValue load();

 private:
  struct Node {
    enum Kind { none, boolean, integer, real, text, tuple, list, dict, tensor, global, storage, mark } kind = none;
    int64_t i = 0;
    double f = 0;
    std::string s;             // text; name of a global
    std::vector<Node*> items;  // tuple, list; dict: key, value, key, value ..
    at::Tensor value;          // tensor; the whole of a storage, one-dimensional
    at::ScalarType dtype = at::ScalarType::Undefined;
    bool ordered = false;  // came from OrderedDict: may receive BUILD
  };

  [[noreturn]] void refuse(const std::string& what) const;
  void require(bool ok, const char* what) const {
    if (!ok) refuse(what);
  }
  uint8_t byte();
  uint64_t number(int width);
  std::string_view take(uint64_t n);
  std::string_view line();
  int64_t long1();
  Node* make(Node::Kind kind);
  Node* integer(int64_t value, Node::Kind kind = Node::integer);
  void push(Node* n) { stack_.push_back(n); }
  Node* top();
  Node* pop();
  std::vector<Node*> pop_to_mark();
  Node* tuple(std::vector<Node*> items);
  Node* global(std::string_view module, std::string_view name);
  Node* storage(const Node* id);
  Node* reduce(const Node* fn, const Node* args);
  Node* rebuild_tensor(const Node* args);
  void build();
  void step(uint8_t op);
  PtValue convert(const Node* n, int depth);

  std::string_view in_;
  size_t pos_ = 0;
  ZipReader& zip_;
  std::string place_;
  uint64_t budget_;
  std::deque<Node> arena_;  // owns every node: aliases and cycles cost nothing to free
  std::vector<Node*> stack_;
  std::map<uint64_t, Node*> memo_;
  std::map<std::string, Node*> storages_;
  int64_t tensors_ = 0, converted_ = 0;
};

}  // namespace ups::io::detail
