// A call of the addon: one Float64Array of sizes and attributes, then the arrays. Both are read one after the other, each
// array with the number of elements that it must have.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "node_args.h"

namespace protein_lm {

inline size_t product(std::initializer_list<size_t> sizes) {
  size_t result = 1;
  for (size_t size : sizes) result = checked_mul(result, size);
  return result;
}

class Reader {
 public:
  Reader(napi_env env, napi_callback_info info) : args(env, info), numbers_(args.doubles(0, "sizes")) {}

  // From the sizes.
  double number(const char* name);
  // An integer from 0 to 2^53 - 1.
  size_t size(const char* name);
  size_t positive(const char* name);
  int32_t integer(const char* name);
  bool boolean(const char* name);
  // How many sizes there are, and how many of them have been read.
  size_t count() const { return numbers_.length; }
  size_t read() const { return next_number_; }

  // From the arrays.
  float* floats(size_t needed, const char* name) { return checked(args.floats(next_array_++, name), needed, name); }
  // Null when the argument is null or undefined.
  float* optional_floats(size_t needed, const char* name) {
    const Span<float> span = args.optional_floats(next_array_++, name);
    return span ? checked(span, needed, name) : nullptr;
  }
  int32_t* ints(size_t needed, const char* name) { return checked(args.ints(next_array_++, name), needed, name); }
  uint8_t* bytes(size_t needed, const char* name) { return checked(args.bytes(next_array_++, name), needed, name); }
  // Of any length.
  Span<float> span(const char* name) { return args.floats(next_array_++, name); }
  Span<float> optional_span(const char* name) { return args.optional_floats(next_array_++, name); }
  std::vector<Span<float>> lists(const char* name) { return args.float_lists(next_array_++, name); }

  // Where an index lies outside of [0, limit).
  void check_indices(const int32_t* indices, size_t count, size_t limit, const char* name);
  void fail(const std::string& message) { args.fail(message); }
  bool ok() const { return args.ok(); }

  Args args;

 private:
  template <typename T>
  T* checked(const Span<T>& span, size_t needed, const char* name) {
    if (args.ok()) args.require(span, needed, name);
    return span.data;
  }

  Span<double> numbers_;
  size_t next_number_ = 0;
  size_t next_array_ = 1;
};

}  // namespace protein_lm
