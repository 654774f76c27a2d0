// SAX handler of the safetensors header: refuses duplicate keys, unknown members and every type that the format does not
// name. Private to io/safetensors.cpp. DOM parsers keep the last of two equal keys, which is how two readers see two
// different files.
#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace ups::io::detail {

struct HeaderEntry {
  std::string name, dtype;
  std::vector<uint64_t> shape;
  uint64_t begin = 0, end = 0;
};

struct HeaderParser : nlohmann::json_sax<nlohmann::json> {
  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;
  std::string error;  // empty = fine

  bool null() override { return fail("unexpected null"); }
  bool boolean(bool) override { return fail("unexpected boolean"); }
  bool number_integer(number_integer_t) override { return fail("unexpected negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return fail("unexpected fraction or number beyond 64 bits");
  }
  bool binary(binary_t&) override { return fail("unexpected binary value"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::shape) {
      if (entries.back().shape.size() >= 64) return fail("more than 64 dimensions");
      entries.back().shape.push_back(value);
      return true;
    }
    if (state_ == State::offsets && offsets_ < 2) {
      (offsets_++ == 0 ? entries.back().begin : entries.back().end) = value;
      return true;
    }
    return fail("unexpected number");
  }

  bool string(string_t& value) override {
    if (state_ == State::metadata) {
      metadata[key_] = value;
      return true;
    }
    if (state_ == State::tensor && key_ == "dtype") {
      entries.back().dtype = value;
      return true;
    }
    return fail("unexpected string");
  }

  bool start_object(size_t) override {
    switch (state_) {
      case State::before: state_ = State::root; return true;
      case State::root:
        if (key_ == "__metadata__") {
          state_ = State::metadata;
          return true;
        }
        if (entries.size() >= 1'000'000) return fail("more than 1000000 tensors");
        entries.push_back({});
        entries.back().name = key_;
        seen_ = 0;
        state_ = State::tensor;
        return true;
      default: return fail("objects nested too deep");
    }
  }

  bool end_object() override {
    if (state_ == State::tensor && seen_ != 7)
      return fail("tensor '" + entries.back().name + "' lacks dtype, shape or data_offsets");
    state_ = state_ == State::root ? State::after : State::root;
    return true;
  }

  bool key(string_t& value) override {
    key_ = value;
    if (state_ == State::root) return names_.insert(value).second || fail("duplicate key '" + value + "'");
    if (state_ == State::metadata) return !metadata.count(value) || fail("duplicate key '" + value + "'");
    const unsigned bit = value == "dtype" ? 1u : value == "shape" ? 2u : value == "data_offsets" ? 4u : 0u;
    if (bit == 0) return fail("unknown member '" + value + "'");
    if ((seen_ & bit) != 0) return fail("duplicate key '" + value + "'");
    seen_ |= bit;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::tensor && key_ == "shape") {
      state_ = State::shape;
      return true;
    }
    if (state_ == State::tensor && key_ == "data_offsets") {
      state_ = State::offsets;
      offsets_ = 0;
      return true;
    }
    return fail("unexpected list");
  }

  bool end_array() override {
    if (state_ == State::offsets && offsets_ != 2) return fail("data_offsets needs two numbers");
    state_ = State::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail("the header is not valid JSON at byte " + std::to_string(position));
  }

 private:
  enum class State { before, root, tensor, shape, offsets, metadata, after };
  bool fail(std::string what) {
    if (error.empty()) error = std::move(what);
    return false;
  }
  State state_ = State::before;
  std::string key_;
  std::set<std::string> names_;
  unsigned seen_ = 0;
  int offsets_ = 0;
};

}  // namespace ups::io::detail
