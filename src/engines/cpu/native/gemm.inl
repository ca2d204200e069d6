namespace protein_lm {
namespace ISA {

void gemm(const Gemm& g) {
  parallel_for(g.outer * g.inner * g.m, [&](size_t task) ISA_LAMBDA {
    const size_t row = task % g.m, batch = task / g.m;
    const size_t i = batch / g.inner, j = batch % g.inner;
    const float* a = g.a + i * g.a_outer + j * g.a_inner;
    const float* b = g.b + i * g.b_outer + j * g.b_inner;
    const size_t offset = i * g.c_outer + j * g.c_inner + row * g.ldc;
    if (g.row_sums_a != nullptr && batch == 0) {
      float total = 0;
      for (size_t p = 0; p < g.k; p++) total += g.transpose_a ? a[p * g.lda + row] : a[row * g.lda + p];
      g.row_sums_a[row] = total;
    }
    for (size_t col = 0; col < g.n; col++) {
      float total = 0;
      for (size_t p = 0; p < g.k; p++) {
        const float x = g.transpose_a ? a[p * g.lda + row] : a[row * g.lda + p];
        total += x * (g.transpose_b ? b[col * g.ldb + p] : b[p * g.ldb + col]);
      }
      float value = total * g.alpha;
      if (g.accumulate) value += g.c[offset + col];
      if (g.bias != nullptr) value += g.bias[col];
      if (g.activation == Activation::gelu) {
        if (g.pre_activation != nullptr) g.pre_activation[offset + col] = value;
        value *= 0.5f * (1 + std::erf(value * 0.70710678f));
      } else if (g.activation == Activation::gelu_grad) {
        const float x = g.pre_activation[offset + col];
        value *= 0.5f * (1 + std::erf(x * 0.70710678f)) + x * 0.39894228f * std::exp(-0.5f * x * x);
      }
      if (g.residual != nullptr) value += g.residual[offset + col];
      g.c[offset + col] = value;
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
