// Matrix product of float32 matrices with what surrounds it folded in.
#pragma once

#include <cstddef>

namespace protein_lm {

enum class Activation { none, gelu, gelu_grad };

// For every outer and inner batch (for example sequence and head):
//
//   pre      = alpha * op(A) [m, k] * op(B) [k, n]  (+ C when accumulate)  (+ bias [n])
//   C [m, n] = pre                              Activation::none
//              gelu(pre), pre_activation = pre  Activation::gelu (exact: x Φ(x)); storing pre is optional
//              pre * gelu'(pre_activation)      Activation::gelu_grad
//   C       += residual [m, n]                  (when given)
//
// A matrix is its first element and the distance between its rows as stored: op(A) is stored as [m, k], with
// transpose_a as [k, m]; op(B) as [k, n] or [n, k]. A head inside a fused [B, L, 3, heads, d] is such a matrix.
// C overlaps no input, apart from residual, which may be C itself.
//
// Every element is summed in an order given by the shape alone: same bits for any number of threads.
struct Gemm {
  size_t m = 0, n = 0, k = 0;

  const float* a = nullptr;
  size_t lda = 0;
  bool transpose_a = false;

  const float* b = nullptr;
  size_t ldb = 0;
  bool transpose_b = false;

  float* c = nullptr;
  size_t ldc = 0;

  // Batch (i, j) of [outer, inner] starts at a + i * a_outer + j * a_inner, and so on. bias is shared by all batches;
  // pre_activation and residual, when given, have C's strides.
  size_t outer = 1, inner = 1;
  size_t a_outer = 0, a_inner = 0;
  size_t b_outer = 0, b_inner = 0;
  size_t c_outer = 0, c_inner = 0;

  float alpha = 1;
  bool accumulate = false;
  const float* bias = nullptr;
  Activation activation = Activation::none;
  float* pre_activation = nullptr;
  const float* residual = nullptr;

  // Written: sums of op(A) over k, [m], of the first batch (not when n is 0). When A is the output's gradient, transposed,
  // they are the bias gradient.
  float* row_sums_a = nullptr;
};

void gemm(const Gemm& g);

}  // namespace protein_lm
