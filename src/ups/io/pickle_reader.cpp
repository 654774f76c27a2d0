#include "ups/io/pickle_reader.h"

#include <array>
#include <bit>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::io::detail {
namespace {

constexpr size_t kMaxNodes = 1'000'000;
constexpr int kMaxDepth = 64;

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 9> kStorages{{{"FloatStorage", at::kFloat},
                                                                                {"DoubleStorage", at::kDouble},
                                                                                {"HalfStorage", at::kHalf},
                                                                                {"BFloat16Storage", at::kBFloat16},
                                                                                {"LongStorage", at::kLong},
                                                                                {"IntStorage", at::kInt},
                                                                                {"ShortStorage", at::kShort},
                                                                                {"ByteStorage", at::kByte},
                                                                                {"BoolStorage", at::kBool}}};
}  // namespace

void PickleReader::refuse(const std::string& what) const {
  throw checkpoint_error(place_, "refused: " + clip_text(escape_text(what), 160));
}

uint8_t PickleReader::byte() {
  require(pos_ < in_.size(), "truncated pickle");
  return static_cast<uint8_t>(in_[pos_++]);
}

std::string_view PickleReader::take(uint64_t n) {
  require(n <= in_.size() - pos_, "truncated pickle");
  const auto out = in_.substr(pos_, n);
  pos_ += n;
  return out;
}

uint64_t PickleReader::number(int width) {
  const auto b = take(static_cast<uint64_t>(width));
  uint64_t v = 0;
  for (size_t i = 0; i < b.size(); ++i) v |= uint64_t{static_cast<uint8_t>(b[i])} << (8 * i);
  return v;
}

std::string_view PickleReader::line() {
  const size_t end = in_.find('\n', pos_);
  require(end != std::string_view::npos, "truncated pickle");
  const auto out = in_.substr(pos_, end - pos_);
  pos_ = end + 1;
  return out;
}

int64_t PickleReader::long1() {
  const int n = byte();
  require(n <= 8, "integer wider than 64 bits");
  uint64_t v = number(n);
  if (n > 0 && n < 8 && (v >> (8 * n - 1) & 1) != 0) v |= ~uint64_t{0} << (8 * n);
  return static_cast<int64_t>(v);
}

PickleReader::Node* PickleReader::make(Node::Kind kind) {
  require(arena_.size() < kMaxNodes, "more than 1000000 values");
  arena_.emplace_back().kind = kind;
  return &arena_.back();
}

PickleReader::Node* PickleReader::integer(int64_t value, Node::Kind kind) {
  Node* n = make(kind);
  n->i = value;
  return n;
}

PickleReader::Node* PickleReader::top() {
  require(!stack_.empty(), "stack underflow");
  return stack_.back();
}

PickleReader::Node* PickleReader::pop() {
  Node* n = top();
  require(n->kind != Node::mark, "unexpected mark");
  stack_.pop_back();
  return n;
}

std::vector<PickleReader::Node*> PickleReader::pop_to_mark() {
  size_t k = stack_.size();
  while (k > 0 && stack_[k - 1]->kind != Node::mark) --k;
  require(k > 0, "no mark");
  std::vector<Node*> out(stack_.begin() + static_cast<std::ptrdiff_t>(k), stack_.end());
  stack_.resize(k - 1);
  return out;
}

PickleReader::Node* PickleReader::tuple(std::vector<Node*> items) {
  Node* n = make(Node::tuple);
  n->items = std::move(items);
  return n;
}

PickleReader::Node* PickleReader::global(std::string_view module, std::string_view name) {
  Node* n = make(Node::global);
  n->s = std::string(module) + "." + std::string(name);
  if (n->s == "collections.OrderedDict" || n->s == "torch._utils._rebuild_tensor_v2" ||
      n->s == "torch._utils._rebuild_parameter")
    return n;
  if (module == "torch") {
    for (const auto& [storage_name, dtype] : kStorages) {
      if (name != storage_name) continue;
      n->dtype = dtype;
      return n;
    }
  }
  refuse("'" + n->s + "' is not plain weights; save model.state_dict() instead of the object");
}

PickleReader::Node* PickleReader::reduce(const Node* fn, const Node* args) {
  require(fn->kind == Node::global && args->kind == Node::tuple, "bad call");
  if (fn->s == "collections.OrderedDict") {
    require(args->items.empty(), "OrderedDict with arguments");
    Node* n = make(Node::dict);
    n->ordered = true;
    return n;
  }
  if (fn->s == "torch._utils._rebuild_parameter") {
    require(!args->items.empty() && args->items[0]->kind == Node::tensor, "bad parameter");
    return args->items[0];
  }
  if (fn->s == "torch._utils._rebuild_tensor_v2") return rebuild_tensor(args);
  refuse("call of '" + fn->s + "'");
}

// BUILD: modules' state dicts carry {"_metadata": ..} as an attribute. Ignored there, refused elsewhere.
void PickleReader::build() {
  const Node* state = pop();
  require(state->kind == Node::dict && top()->kind == Node::dict && top()->ordered,
          "BUILD of an object that is not an OrderedDict");
}

void PickleReader::step(uint8_t op) {
  switch (op) {
    case 0x80: require(byte() <= 5, "unknown pickle protocol"); return;
    case 'c': {
      const auto module = line();
      push(global(module, line()));
      return;
    }
    case 'X': {
      const auto text = take(number(4));
      require(is_valid_utf8(text), "text is not UTF-8");
      Node* n = make(Node::text);
      n->s = std::string(text);
      push(n);
      return;
    }
    case 'q': memo_[byte()] = top(); return;
    case 'r': memo_[number(4)] = top(); return;
    case 'h':
    case 'j': {
      const auto it = memo_.find(op == 'h' ? byte() : number(4));
      require(it != memo_.end(), "unknown memo");
      push(it->second);
      return;
    }
    case '}': push(make(Node::dict)); return;
    case ']': push(make(Node::list)); return;
    case ')': push(make(Node::tuple)); return;
    case '(': push(make(Node::mark)); return;
    case 't': push(tuple(pop_to_mark())); return;
    case 0x85:
    case 0x86:
    case 0x87: {
      std::vector<Node*> v(static_cast<size_t>(op) - 0x84);
      for (size_t k = v.size(); k-- > 0;) v[k] = pop();
      push(tuple(std::move(v)));
      return;
    }
    case 'N': push(make(Node::none)); return;
    case 0x88:
    case 0x89: push(integer(op == 0x88 ? 1 : 0, Node::boolean)); return;
    case 'J': push(integer(static_cast<int32_t>(number(4)))); return;
    case 'K': push(integer(byte())); return;
    case 'M': push(integer(static_cast<int64_t>(number(2)))); return;
    case 0x8a: push(integer(long1())); return;
    case 'G': {
      Node* n = make(Node::real);
      n->f = std::bit_cast<double>(__builtin_bswap64(number(8)));
      push(n);
      return;
    }
    case 's':
    case 'u': {
      std::vector<Node*> v;
      if (op == 'u') {
        v = pop_to_mark();
      } else {
        v = {nullptr, pop()};
        v[0] = pop();
      }
      require(v.size() % 2 == 0, "odd number of dict items");
      require(top()->kind == Node::dict, "items for a value that is not a dict");
      top()->items.insert(top()->items.end(), v.begin(), v.end());
      return;
    }
    case 'a':
    case 'e': {
      const auto v = op == 'e' ? pop_to_mark() : std::vector<Node*>{pop()};
      require(top()->kind == Node::list, "items for a value that is not a list");
      top()->items.insert(top()->items.end(), v.begin(), v.end());
      return;
    }
    case 'Q': push(storage(pop())); return;
    case 'R': {
      const Node* args = pop();
      push(reduce(pop(), args));
      return;
    }
    case 'b': build(); return;
    default: refuse("pickle opcode " + std::to_string(op) + " is not allowed");
  }
}

PtValue PickleReader::load() {
  for (;;) {
    const uint8_t op = byte();
    if (op == '.') break;
    require(stack_.size() < kMaxNodes, "stack too high");
    step(op);
  }
  return convert(pop(), 0);
}

PtValue PickleReader::convert(const Node* n, int depth) {
  require(depth <= kMaxDepth, "nested deeper than 64 levels");
  require(++converted_ <= static_cast<int64_t>(kMaxNodes), "more than 1000000 values");
  switch (n->kind) {
    case Node::none: return {};
    case Node::boolean: return PtValue::of_bool(n->i != 0);
    case Node::integer: return PtValue::of_int(n->i);
    case Node::real: return PtValue::of_real(n->f);
    case Node::text: return PtValue::of_text(n->s);
    case Node::tensor: return PtValue::of_tensor(n->value);
    case Node::tuple:
    case Node::list: {
      PtValue out = n->kind == Node::tuple ? PtValue::make_tuple() : PtValue::make_list();
      for (const Node* x : n->items) out.items.push_back(convert(x, depth + 1));
      return out;
    }
    case Node::dict: {
      PtValue out = PtValue::make_dict();
      std::set<std::pair<int64_t, std::string>> keys;
      for (size_t k = 0; k + 1 < n->items.size(); k += 2) {
        const Node* key = n->items[k];
        require(key->kind == Node::text || key->kind == Node::integer, "dict key that is neither text nor integer");
        require(keys.emplace(key->i, key->kind == Node::text ? "s" + key->s : "i").second, "duplicate dict key");
        PtValue value = convert(n->items[k + 1], depth + 1);
        if (key->kind == Node::text)
          out.set(key->s, std::move(value));
        else
          out.set(key->i, std::move(value));
      }
      return out;
    }
    default: refuse("a value that is neither data nor a tensor");
  }
}

}  // namespace ups::io::detail
