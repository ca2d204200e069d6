// tfjs's own operations as JavaScript calls them; the order of arguments is that of src/engines/cpu/addon.ts.
#include "addon.h"
#include "arrays.h"
#include "node_args.h"

namespace protein_lm {
namespace {

Shape read_shape(Args& args, size_t index) {
  const Span<double> dims = args.doubles(index, "shape");
  Shape shape;
  if (!args.ok()) return shape;
  if (dims.length < 1 || dims.length > MAX_RANK) {
    args.fail("shape must have from 1 to " + std::to_string(MAX_RANK) + " axes");
    return shape;
  }
  shape.rank = dims.length;
  for (size_t i = 0; i < shape.rank; i++) {
    if (!(dims.data[i] >= 0 && dims.data[i] <= 9007199254740991.0)) {
      args.fail("shape must hold integers from 0");
      return shape;
    }
    shape.dims[i] = static_cast<size_t>(dims.data[i]);
  }
  return shape;
}

size_t count_of(const Shape& shape) {
  size_t count = 1;
  for (size_t i = 0; i < shape.rank; i++) count = checked_mul(count, shape.dims[i]);
  return count;
}

// Strides over a span: fail()s unless every element of the shape lies in it.
void read_strides(Args& args, size_t index, const char* name, const Shape& shape, const Span<float>& span,
                  size_t offset, size_t* strides) {
  const Span<double> values = args.doubles(index, "strides");
  if (args.ok() && values.length != shape.rank) args.fail("strides must have one number for each axis");
  if (!args.ok()) return;
  size_t last = offset;
  for (size_t i = 0; i < shape.rank; i++) {
    if (!(values.data[i] >= 0 && values.data[i] <= 9007199254740991.0)) return args.fail("strides must be from 0");
    strides[i] = static_cast<size_t>(values.data[i]);
    if (shape.dims[i] > 0) last = checked_add(last, checked_mul(shape.dims[i] - 1, strides[i]));
  }
  if (count_of(shape) > 0) args.require(span, checked_add(last, 1), name);
}

// copyStrided(shape, x, xOffset, xStrides, y, yOffset, yStrides)
napi_value copy_strided_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const Shape shape = read_shape(args, 0);
  const Span<float> x = args.floats(1, "x"), y = args.floats(4, "y");
  const size_t x_offset = args.size(2, "xOffset"), y_offset = args.size(5, "yOffset");
  Strided<const float> from;
  Strided<float> to;
  if (args.ok()) read_strides(args, 3, "x", shape, x, x_offset, from.strides);
  if (args.ok()) read_strides(args, 6, "y", shape, y, y_offset, to.strides);
  if (args.ok() && count_of(shape) > y.length) args.fail("y is smaller than the shape");
  if (!args.ok() || count_of(shape) == 0) return nullptr;
  from.data = x.data + x_offset;
  to.data = y.data + y_offset;
  ISA_CALL(copy_strided)(shape, from, to);
  return nullptr;
}

// binary(operation, shape, a, aStrides, b, bStrides, y)
napi_value binary_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t operation = args.size(0, "operation");
  const Shape shape = read_shape(args, 1);
  const Span<float> a = args.floats(2, "a"), b = args.floats(4, "b"), y = args.floats(6, "y");
  Strided<const float> left, right;
  if (args.ok()) read_strides(args, 3, "a", shape, a, 0, left.strides);
  if (args.ok()) read_strides(args, 5, "b", shape, b, 0, right.strides);
  if (args.ok()) args.require(y, count_of(shape), "y");
  if (args.ok() && operation >= static_cast<size_t>(Binary::count)) args.fail("there is no such operation");
  if (args.ok() && (left.strides[shape.rank - 1] > 1 || right.strides[shape.rank - 1] > 1))
    args.fail("the last strides must be 0 or 1");
  if (!args.ok() || count_of(shape) == 0) return nullptr;
  left.data = a.data;
  right.data = b.data;
  ISA_CALL(binary)(static_cast<Binary>(operation), shape, left, right, y.data);
  return nullptr;
}

// unary(operation, x, y)
napi_value unary_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t operation = args.size(0, "operation");
  const Span<float> x = args.floats(1, "x"), y = args.floats(2, "y");
  if (args.ok()) args.require(y, x.length, "y");
  if (args.ok() && operation >= static_cast<size_t>(Unary::count)) args.fail("there is no such operation");
  if (args.ok()) ISA_CALL(unary)(static_cast<Unary>(operation), x.data, y.data, x.length);
  return nullptr;
}

// reduce(operation, outer, n, inner, x, y, scale)
napi_value reduce_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t operation = args.size(0, "operation");
  const size_t outer = args.size(1, "outer"), n = args.size(2, "n"), inner = args.size(3, "inner");
  const Span<float> x = args.floats(4, "x"), y = args.floats(5, "y");
  const double scale = args.number(6, "scale");
  if (args.ok()) args.require(x, checked_mul(checked_mul(outer, n), inner), "x");
  if (args.ok()) args.require(y, checked_mul(outer, inner), "y");
  if (args.ok() && operation >= static_cast<size_t>(Reduction::count)) args.fail("there is no such operation");
  if (args.ok() && inner > 0)
    ISA_CALL(reduce)(static_cast<Reduction>(operation), outer, n, inner, x.data, y.data, static_cast<float>(scale));
  return nullptr;
}

// softmax(rows, n, x, y)
napi_value softmax_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t rows = args.size(0, "rows"), n = args.size(1, "n");
  const Span<float> x = args.floats(2, "x"), y = args.floats(3, "y");
  if (args.ok()) args.require(x, checked_mul(rows, n), "x");
  if (args.ok()) args.require(y, checked_mul(rows, n), "y");
  if (args.ok() && n > 0) ISA_CALL(softmax)(rows, n, x.data, y.data);
  return nullptr;
}

// cumulativeSum(outer, n, inner, x, y, exclusive, reverse)
napi_value cumulative_sum_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t outer = args.size(0, "outer"), n = args.size(1, "n"), inner = args.size(2, "inner");
  const Span<float> x = args.floats(3, "x"), y = args.floats(4, "y");
  const bool exclusive = args.boolean(5, "exclusive"), reverse = args.boolean(6, "reverse");
  const size_t count = checked_mul(checked_mul(outer, n), inner);
  if (args.ok()) args.require(x, count, "x");
  if (args.ok()) args.require(y, count, "y");
  if (args.ok() && count > 0) ISA_CALL(cumulative_sum)(outer, n, inner, x.data, y.data, exclusive, reverse);
  return nullptr;
}

}  // namespace

void export_arrays(napi_env env, napi_value exports) {
  export_function(env, exports, "copyStrided", copy_strided_from_js);
  export_function(env, exports, "binary", binary_from_js);
  export_function(env, exports, "unary", unary_from_js);
  export_function(env, exports, "reduce", reduce_from_js);
  export_function(env, exports, "softmax", softmax_from_js);
  export_function(env, exports, "cumulativeSum", cumulative_sum_from_js);
}

}  // namespace protein_lm
