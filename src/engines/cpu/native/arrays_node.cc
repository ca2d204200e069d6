// tfjs's own operations as JavaScript calls them: [sizes and attributes], then the arrays.
#include "addon.h"
#include "arrays.h"
#include "reader.h"

namespace protein_lm {
namespace {

// How many axes, and their sizes.
Shape read_shape(Reader& in) {
  Shape shape;
  const size_t rank = in.size("rank");
  if (in.ok() && (rank < 1 || rank > MAX_RANK))
    in.fail("a shape must have from 1 to " + std::to_string(MAX_RANK) + " axes");
  for (size_t i = 0; in.ok() && i < rank; i++) shape.dims[i] = in.size("every size");
  if (in.ok()) shape.rank = rank;
  return shape;
}

size_t count_of(const Shape& shape) {
  size_t count = 1;
  for (size_t i = 0; i < shape.rank; i++) count = checked_mul(count, shape.dims[i]);
  return count;
}

// One for each axis.
void read_strides(Reader& in, const Shape& shape, size_t* strides) {
  for (size_t i = 0; in.ok() && i < shape.rank; i++) strides[i] = in.size("every stride");
}

// fail()s unless every element of the shape lies in the array.
void require(Reader& in, const Shape& shape, const Span<float>& span, size_t offset, const size_t* strides,
             const char* name) {
  if (!in.ok() || count_of(shape) == 0) return;
  size_t last = offset;
  for (size_t i = 0; i < shape.rank; i++) last = checked_add(last, checked_mul(shape.dims[i] - 1, strides[i]));
  in.args.require(span, checked_add(last, 1), name);
}

// copyStrided([rank, shape…, xOffset, xStrides…, yOffset, yStrides…], x, y): y = x over an array of the shape, each with
// an offset and strides in elements.
napi_value copy_strided_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const Shape shape = read_shape(in);
  Strided<const float> from;
  Strided<float> to;
  const size_t x_offset = in.size("xOffset");
  read_strides(in, shape, from.strides);
  const size_t y_offset = in.size("yOffset");
  read_strides(in, shape, to.strides);
  const Span<float> x = in.span("x"), y = in.span("y");
  require(in, shape, x, x_offset, from.strides, "x");
  require(in, shape, y, y_offset, to.strides, "y");
  if (in.ok() && count_of(shape) > y.length) in.fail("y is smaller than the shape");
  if (!in.ok() || count_of(shape) == 0) return nullptr;
  from.data = x.data + x_offset;
  to.data = y.data + y_offset;
  ISA_CALL(copy_strided)(shape, from, to);
  return nullptr;
}

// binary([operation, rank, shape…, aStrides…, bStrides…], a, b, y): y, contiguous, = a op b; strides of 0 repeat, the last
// ones are 0 or 1. The operations: enum Binary.
napi_value binary_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t operation = in.size("operation");
  const Shape shape = read_shape(in);
  Strided<const float> left, right;
  read_strides(in, shape, left.strides);
  read_strides(in, shape, right.strides);
  const Span<float> a = in.span("a"), b = in.span("b"), y = in.span("y");
  require(in, shape, a, 0, left.strides, "a");
  require(in, shape, b, 0, right.strides, "b");
  if (in.ok()) in.args.require(y, count_of(shape), "y");
  if (in.ok() && operation >= static_cast<size_t>(Binary::count)) in.fail("there is no such operation");
  if (in.ok() && (left.strides[shape.rank - 1] > 1 || right.strides[shape.rank - 1] > 1))
    in.fail("the last strides must be 0 or 1");
  if (!in.ok() || count_of(shape) == 0) return nullptr;
  left.data = a.data;
  right.data = b.data;
  ISA_CALL(binary)(static_cast<Binary>(operation), shape, left, right, y.data);
  return nullptr;
}

// unary([operation], x, y). The operations: enum Unary.
napi_value unary_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t operation = in.size("operation");
  const Span<float> x = in.span("x"), y = in.span("y");
  if (in.ok()) in.args.require(y, x.length, "y");
  if (in.ok() && operation >= static_cast<size_t>(Unary::count)) in.fail("there is no such operation");
  if (in.ok()) ISA_CALL(unary)(static_cast<Unary>(operation), x.data, y.data, x.length);
  return nullptr;
}

// reduce([operation, outer, n, inner, scale], x, y): y [outer, inner] = scale times x [outer, n, inner] reduced over n. The
// operations: enum Reduction.
napi_value reduce_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t operation = in.size("operation");
  const size_t outer = in.size("outer"), n = in.size("n"), inner = in.size("inner");
  const double scale = in.number("scale");
  const float* x = in.floats(product({outer, n, inner}), "x");
  float* y = in.floats(product({outer, inner}), "y");
  if (in.ok() && operation >= static_cast<size_t>(Reduction::count)) in.fail("there is no such operation");
  if (in.ok() && inner > 0)
    ISA_CALL(reduce)(static_cast<Reduction>(operation), outer, n, inner, x, y, static_cast<float>(scale));
  return nullptr;
}

// softmax([rows, n], x, y)
napi_value softmax_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t rows = in.size("rows"), n = in.size("n");
  const float* x = in.floats(product({rows, n}), "x");
  float* y = in.floats(product({rows, n}), "y");
  if (in.ok() && n > 0) ISA_CALL(softmax)(rows, n, x, y);
  return nullptr;
}

// cumulativeSum([outer, n, inner, exclusive, reverse], x, y)
napi_value cumulative_sum_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t outer = in.size("outer"), n = in.size("n"), inner = in.size("inner");
  const bool exclusive = in.boolean("exclusive"), reverse = in.boolean("reverse");
  const size_t count = product({outer, n, inner});
  const float* x = in.floats(count, "x");
  float* y = in.floats(count, "y");
  if (in.ok() && count > 0) ISA_CALL(cumulative_sum)(outer, n, inner, x, y, exclusive, reverse);
  return nullptr;
}

}  // namespace

void export_arrays(napi_env env, napi_value exports) {
  export_function<copy_strided_from_js>(env, exports, "copyStrided");
  export_function<binary_from_js>(env, exports, "binary");
  export_function<unary_from_js>(env, exports, "unary");
  export_function<reduce_from_js>(env, exports, "reduce");
  export_function<softmax_from_js>(env, exports, "softmax");
  export_function<cumulative_sum_from_js>(env, exports, "cumulativeSum");
}

}  // namespace protein_lm
