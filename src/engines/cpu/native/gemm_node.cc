#include "addon.h"
#include "gemm.h"
#include "reader.h"

namespace protein_lm {
namespace {

// One past the last element that a batched matrix touches, 0 when it is empty.
size_t extent(size_t rows, size_t columns, size_t stride, size_t outer, size_t outer_stride, size_t inner,
              size_t inner_stride) {
  if (rows == 0 || columns == 0 || outer == 0 || inner == 0) return 0;
  size_t last = checked_add(checked_mul(rows - 1, stride), columns);
  last = checked_add(last, checked_mul(outer - 1, outer_stride));
  return checked_add(last, checked_mul(inner - 1, inner_stride));
}

// gemm(sizes [24], a, b, c, bias?, preActivation?, residual?, rowSumsA?); src/engines/cpu/gemm.ts lays the sizes out.
napi_value gemm_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const auto next = [&] { return in.size("every size, stride and offset"); };
  Gemm g;
  g.m = next(), g.n = next(), g.k = next();
  g.outer = next(), g.inner = next();
  const size_t a_offset = next();
  g.lda = next(), g.a_outer = next(), g.a_inner = next(), g.transpose_a = next() != 0;
  const size_t b_offset = next();
  g.ldb = next(), g.b_outer = next(), g.b_inner = next(), g.transpose_b = next() != 0;
  const size_t c_offset = next();
  g.ldc = next(), g.c_outer = next(), g.c_inner = next();
  g.accumulate = next() != 0;
  const size_t activation = next();
  const size_t pre_offset = next();
  const size_t residual_offset = next();
  g.alpha = static_cast<float>(in.number("alpha"));
  const Span<float> a = in.span("a"), b = in.span("b"), c = in.span("c");
  const Span<float> bias = in.optional_span("bias");
  const Span<float> pre_activation = in.optional_span("preActivation");
  const Span<float> residual = in.optional_span("residual");
  const Span<float> row_sums_a = in.optional_span("rowSumsA");
  Args& args = in.args;
  if (activation > 2) args.fail("activation must be 0, 1 or 2");
  if (!args.ok()) return nullptr;
  g.activation = static_cast<Activation>(activation);

  const auto check = [&](const Span<float>& span, size_t offset, size_t rows, size_t columns, size_t stride,
                         size_t outer_stride, size_t inner_stride, const char* name) {
    if (rows > 1 && stride < columns) args.fail(std::string(name) + "'s rows overlap: the stride is below the width");
    const size_t size = extent(rows, columns, stride, g.outer, outer_stride, g.inner, inner_stride);
    if (size != 0) args.require(span, checked_add(offset, size), name);
  };
  check(a, a_offset, g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.lda, g.a_outer, g.a_inner, "a");
  check(b, b_offset, g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.ldb, g.b_outer, g.b_inner, "b");
  check(c, c_offset, g.m, g.n, g.ldc, g.c_outer, g.c_inner, "c");
  if (checked_mul(checked_mul(g.outer, g.inner), checked_mul(g.m, g.n)) > c.length)
    args.fail("c's batches overlap: it has " + std::to_string(c.length) + " elements");
  if (bias) args.require(bias, g.n, "bias");
  if (row_sums_a) args.require(row_sums_a, g.m, "rowSumsA");
  if (pre_activation)
    check(pre_activation, pre_offset, g.m, g.n, g.ldc, g.c_outer, g.c_inner, "preActivation");
  else if (g.activation == Activation::gelu_grad)
    args.fail("preActivation is needed for the gradient of gelu");
  if (residual) check(residual, residual_offset, g.m, g.n, g.ldc, g.c_outer, g.c_inner, "residual");
  if (!args.ok()) return nullptr;

  g.a = a.data + a_offset;
  g.b = b.data + b_offset;
  g.c = c.data + c_offset;
  g.bias = bias.data;
  g.pre_activation = pre_activation ? pre_activation.data + pre_offset : nullptr;
  g.residual = residual ? residual.data + residual_offset : nullptr;
  g.row_sums_a = row_sums_a.data;
  gemm(g);
  return nullptr;
}

}  // namespace

void export_gemm(napi_env env, napi_value exports) { export_function<gemm_from_js>(env, exports, "gemm"); }

}  // namespace protein_lm
