// Reading a call's arguments from JavaScript. Nothing here trusts the caller: whatever the argument is, the outcome is
// a value or a JavaScript error, and after the first error the rest of the reads do nothing.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "scratch.h"

namespace protein_lm {

// A typed array's elements; data is null when the argument was null or undefined.
template <typename T>
struct Span {
  T* data = nullptr;
  size_t length = 0;

  explicit operator bool() const { return data != nullptr; }
};

class Args {
 public:
  static constexpr size_t MAX = 24;

  Args(napi_env env, napi_callback_info info);

  size_t count() const { return count_; }
  bool ok() const { return ok_; }

  // By position. An optional array may be null or undefined; a detached one is an error.
  Span<float> floats(size_t index, const char* name);
  Span<float> optional_floats(size_t index, const char* name);
  Span<int32_t> ints(size_t index, const char* name);
  Span<uint8_t> bytes(size_t index, const char* name);
  Span<double> doubles(size_t index, const char* name);
  // A JavaScript array of Float32Arrays.
  std::vector<Span<float>> float_lists(size_t index, const char* name);
  double number(size_t index, const char* name);
  // An integer from 0 to 2^53 - 1.
  size_t size(size_t index, const char* name);
  bool boolean(size_t index, const char* name);
  std::string text(size_t index, const char* name);

  // An error that the call throws, once it returns; the first one counts.
  void fail(const std::string& message);
  // fail()s unless the array has at least `needed` elements.
  template <typename T>
  void require(const Span<T>& span, size_t needed, const char* name) {
    if (span.length < needed)
      fail(std::string(name) + " has " + std::to_string(span.length) + " elements, " + std::to_string(needed) +
           " are needed");
  }

  napi_env env() const { return env_; }

 private:
  bool typed_array(size_t index, const char* name, napi_typedarray_type type, const char* type_name, bool optional,
                   void** data, size_t* length);
  bool typed_value(napi_value value, const char* name, napi_typedarray_type type, const char* type_name, void** data,
                   size_t* length);

  napi_env env_;
  napi_value values_[MAX];
  size_t count_ = MAX;
  bool ok_ = true;
};

// a * b and a + b, or SIZE_MAX where they would pass it, so that a later bounds check fails.
inline size_t checked_mul(size_t a, size_t b) {
  size_t result;
  return __builtin_mul_overflow(a, b, &result) ? SIZE_MAX : result;
}
inline size_t checked_add(size_t a, size_t b) {
  size_t result;
  return __builtin_add_overflow(a, b, &result) ? SIZE_MAX : result;
}

// Throws JavaScript's error of a kernel that ran out of memory, with the code OUT_OF_MEMORY and its `bytes`.
void throw_out_of_memory(napi_env env, size_t bytes);

using Function = napi_value (*)(napi_env, napi_callback_info);

// The function as JavaScript may call it.
template <Function function>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return function(env, info);
  } catch (const OutOfMemory& error) {
    throw_out_of_memory(env, error.bytes);
    return nullptr;
  }
}

void export_callback(napi_env env, napi_value exports, const char* name, napi_callback function);

template <Function function>
void export_function(napi_env env, napi_value exports, const char* name) {
  export_callback(env, exports, name, guarded<function>);
}

}  // namespace protein_lm
