// FAVOR-ReLU attention: φ(x) = relu(x) + ε or relu(W x) + ε.

namespace protein_lm {
namespace ISA {

namespace favor_detail {

struct ReluFeatures {
  static constexpr bool WEIGHTED = false;
  const Plan& plan;

  INLINE size_t extra() const { return 0; }

  INLINE void of_queries(float* phi, float*, const float* x, size_t stride, size_t rows) const {
    make(phi, x, stride, rows, nullptr);
  }
  INLINE void of_keys(float* phi, float*, float*, const float* x, size_t stride, size_t rows, const float* keep,
                      size_t) const {
    make(phi, x, stride, rows, keep);
  }
  INLINE void queries_grad(float* dx, const float*, size_t stride, float* dphi, const float* phi, const float*,
                           float* room, size_t rows) const {
    grad(dx, stride, dphi, phi, room, rows);
  }
  INLINE void keys_grad(float* dx, const float*, size_t stride, float* dphi, const float* phi, const float*,
                        float* room, size_t rows, size_t) const {
    grad(dx, stride, dphi, phi, room, rows);
  }

  INLINE void make(float* phi, const float* x, size_t stride, size_t rows, const float* keep) const {
    const size_t features = plan.features, feature_row = plan.feature_row;
    const float epsilon = plan.op.epsilon;
    if (plan.projection_t != nullptr) {
      tile_product(phi, feature_row, x, stride, 1, plan.projection_t, feature_row, rows, feature_row, plan.size, false);
      x = phi;
      stride = feature_row;
    }
    for (size_t r = 0; r < rows; r++) {
      const float* from = x + r * stride;
      float* to = phi + r * feature_row;
      if (keep != nullptr && keep[r] == 0) {
        std::memset(to, 0, feature_row * sizeof(float));
        continue;
      }
      size_t i = 0;
      for (; i + LANES <= features; i += LANES) store(to + i, max(zero(), load(from + i)) + epsilon);
      if (i < features) {
        const Vec value = max(zero(), load_partial(from + i, features - i)) + epsilon;
        store(to + i, zero());
        store_partial(to + i, value, features - i);
      }
    }
  }

  // Through relu, and through W.
  INLINE void grad(float* dx, size_t stride, float* dphi, const float* phi, float* room, size_t rows) const {
    const size_t feature_row = plan.feature_row, value_row = plan.value_row;
    for (size_t i = 0; i < rows * feature_row; i += LANES)
      store(dphi + i, select(load(phi + i) > broadcast(plan.op.epsilon), load(dphi + i), zero()));
    const float* result = dphi;
    size_t row = feature_row;
    if (plan.projection != nullptr) {
      tile_product(room, value_row, dphi, feature_row, 1, plan.projection, value_row, rows, value_row, plan.features,
                   false);
      result = room;
      row = value_row;
    }
    for (size_t r = 0; r < rows; r++) plan.put_row(dx + r * stride, result + r * row, 1);
  }
};

}  // namespace favor_detail

void favor_relu(const FavorForward& op) {
  const favor_detail::Plan plan(op);
  favor_detail::attend(op, plan, favor_detail::ReluFeatures{plan});
}

void favor_relu_grad(const FavorBackward& op) {
  const favor_detail::Plan plan(op);
  favor_detail::attend_grad(op, plan, favor_detail::ReluFeatures{plan});
}

}  // namespace ISA
}  // namespace protein_lm
