#include "node_args.h"

#include <cmath>

namespace protein_lm {

Args::Args(napi_env env, napi_callback_info info) : env_(env) {
  if (napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok) {
    count_ = 0;
    fail("the arguments cannot be read");
  }
  if (count_ > MAX) count_ = MAX;
}

void Args::fail(const std::string& message) {
  if (!ok_) return;
  ok_ = false;
  napi_throw_range_error(env_, nullptr, message.c_str());
}

bool Args::typed_array(size_t index, const char* name, napi_typedarray_type type, const char* type_name, bool optional,
                       void** data, size_t* length) {
  if (!ok_) return false;
  napi_valuetype kind = napi_undefined;
  if (index < count_) napi_typeof(env_, values_[index], &kind);
  if (optional && (kind == napi_undefined || kind == napi_null)) return false;
  if (kind != napi_object) {
    fail(std::string(name) + " must be a " + type_name);
    return false;
  }
  return typed_value(values_[index], name, type, type_name, data, length);
}

bool Args::typed_value(napi_value value, const char* name, napi_typedarray_type type, const char* type_name,
                       void** data, size_t* length) {
  bool is = false;
  napi_typedarray_type actual;
  napi_value buffer;
  size_t offset;
  bool detached = false;
  if (napi_is_typedarray(env_, value, &is) != napi_ok || !is ||
      napi_get_typedarray_info(env_, value, &actual, length, data, &buffer, &offset) != napi_ok || actual != type) {
    fail(std::string(name) + " must be a " + type_name);
    return false;
  }
  if (napi_is_detached_arraybuffer(env_, buffer, &detached) == napi_ok && detached) {
    fail(std::string(name) + " is detached: its tensor was disposed, or its buffer moved to another thread");
    return false;
  }
  // An empty array may have no memory at all; a non-null pointer tells it from an absent one.
  static double nothing;
  if (*length == 0 || *data == nullptr) {
    *data = &nothing;
    *length = 0;
  }
  return true;
}

std::vector<Span<float>> Args::float_lists(size_t index, const char* name) {
  std::vector<Span<float>> lists;
  bool is = false;
  uint32_t count = 0;
  if (!ok_) return lists;
  if (index >= count_ || napi_is_array(env_, values_[index], &is) != napi_ok || !is ||
      napi_get_array_length(env_, values_[index], &count) != napi_ok) {
    fail(std::string(name) + " must be an array of Float32Arrays");
    return lists;
  }
  for (uint32_t i = 0; i < count && ok_; i++) {
    napi_handle_scope scope;
    napi_open_handle_scope(env_, &scope);
    napi_value element;
    void* data = nullptr;
    size_t length = 0;
    if (napi_get_element(env_, values_[index], i, &element) != napi_ok)
      fail(std::string(name) + " must be an array of Float32Arrays");
    else if (typed_value(element, name, napi_float32_array, "Float32Array", &data, &length))
      lists.push_back({static_cast<float*>(data), length});
    napi_close_handle_scope(env_, scope);
  }
  return lists;
}

Span<float> Args::floats(size_t index, const char* name) {
  void* data;
  size_t length;
  if (!typed_array(index, name, napi_float32_array, "Float32Array", false, &data, &length)) return {};
  return {static_cast<float*>(data), length};
}

Span<float> Args::optional_floats(size_t index, const char* name) {
  void* data;
  size_t length;
  if (!typed_array(index, name, napi_float32_array, "Float32Array", true, &data, &length)) return {};
  return {static_cast<float*>(data), length};
}

Span<int32_t> Args::ints(size_t index, const char* name) {
  void* data;
  size_t length;
  if (!typed_array(index, name, napi_int32_array, "Int32Array", false, &data, &length)) return {};
  return {static_cast<int32_t*>(data), length};
}

Span<uint8_t> Args::bytes(size_t index, const char* name) {
  void* data;
  size_t length;
  if (!typed_array(index, name, napi_uint8_array, "Uint8Array", false, &data, &length)) return {};
  return {static_cast<uint8_t*>(data), length};
}

Span<double> Args::doubles(size_t index, const char* name) {
  void* data;
  size_t length;
  if (!typed_array(index, name, napi_float64_array, "Float64Array", false, &data, &length)) return {};
  return {static_cast<double*>(data), length};
}

double Args::number(size_t index, const char* name) {
  double value = 0;
  if (ok_ && (index >= count_ || napi_get_value_double(env_, values_[index], &value) != napi_ok))
    fail(std::string(name) + " must be a number");
  return value;
}

size_t Args::size(size_t index, const char* name) {
  const double value = number(index, name);
  if (ok_ && !(value >= 0 && value <= 9007199254740991.0 && value == std::floor(value)))
    fail(std::string(name) + " must be an integer from 0");
  return ok_ ? static_cast<size_t>(value) : 0;
}

bool Args::boolean(size_t index, const char* name) {
  bool value = false;
  if (ok_ && (index >= count_ || napi_get_value_bool(env_, values_[index], &value) != napi_ok))
    fail(std::string(name) + " must be true or false");
  return value;
}

std::string Args::text(size_t index, const char* name) {
  char buffer[256];
  size_t length = 0;
  if (ok_ && (index >= count_ ||
              napi_get_value_string_utf8(env_, values_[index], buffer, sizeof buffer, &length) != napi_ok))
    fail(std::string(name) + " must be a string");
  return ok_ ? std::string(buffer, length) : std::string();
}

void throw_out_of_memory(napi_env env, size_t bytes) {
  const std::string text = "out of memory on the cpu engine: " + std::to_string(bytes) +
                           " bytes more to work in; use a smaller batch or length";
  napi_value code, message, error, count;
  if (napi_create_string_utf8(env, "OUT_OF_MEMORY", NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, text.c_str(), text.size(), &message) == napi_ok &&
      napi_create_error(env, code, message, &error) == napi_ok &&
      napi_create_double(env, static_cast<double>(bytes), &count) == napi_ok) {
    napi_set_named_property(env, error, "bytes", count);
    napi_throw(env, error);
  }
}

void export_callback(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  napi_set_named_property(env, exports, name, value);
}

}  // namespace protein_lm
