// The gradient of gelu on its own: where it is not folded into a matrix product.

namespace protein_lm {
namespace ISA {

void gelu_grad(const float* pre_activation, const float* dy, float* dx, size_t count) {
  parallel_ranges(count, 8192, [&](size_t begin, size_t end) ISA_LAMBDA {
    size_t i = begin;
    for (; i + LANES <= end; i += LANES) store(dx + i, load(dy + i) * gelu_derivative(load(pre_activation + i)));
    if (i < end)
      store_partial(dx + i, load_partial(dy + i, end - i) * gelu_derivative(load_partial(pre_activation + i, end - i)),
                    end - i);
  });
}

}  // namespace ISA
}  // namespace protein_lm
