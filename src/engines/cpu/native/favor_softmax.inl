// FAVOR+ attention: with u = c W x and n = |c x|²/2, c = size^-1/4, φ(x) = exp(u - n - s) + ε, where s is a query's
// largest u, and the largest u of all kept keys of a head. ε keeps s in the result, so the gradient goes through both
// maxima: what the exponentials of a query (of all keys) receive together, the place of the maximum loses. Causal
// attention must not know a later key's u: there ε is relative to each key.

namespace protein_lm {
namespace ISA {

namespace favor_detail {

struct SoftmaxFeatures {
  static constexpr bool WEIGHTED = false;
  const Plan& plan;
  const float* key_peaks;  // s of the keys, [batch, heads]
  double* totals;      // by chunk: what the exponentials of its keys received; null without a gradient
  float half;          // n = half |x|²
  IVec tail;           // the lanes of a row's last vector that are features

  SoftmaxFeatures(const Plan& p, const float* peaks, double* key_totals)
      : plan(p), key_peaks(peaks), totals(key_totals), half(0.5f / std::sqrt(static_cast<float>(p.size))) {
    const size_t last = plan.feature_row - LANES;
    for (size_t i = 0; i < LANES; i++) tail[i] = last + i < plan.features ? -1 : 0;
  }

  INLINE static float scale(const Favor& op) { return 1 / std::sqrt(std::sqrt(static_cast<float>(op.shape.size))); }

  // A tile's exponentials, without ε, and where its queries have their maxima.
  INLINE size_t extra() const { return TILE * (plan.feature_row + 1); }

  // u [rows, feature_row], zero past the features.
  INLINE void project(float* u, const float* x, size_t stride, size_t rows) const {
    tile_product(u, plan.feature_row, x, stride, 1, plan.projection_t, plan.feature_row, rows, plan.feature_row,
                 plan.size, false);
  }

  // The largest u so far in every lane, and those of a row.
  INLINE Vec raise(Vec top, const float* u) const {
    const size_t last = plan.feature_row - LANES;
    for (size_t i = 0; i < last; i += LANES) top = max(top, load(u + i));
    return max(top, select(tail, load(u + last), top));
  }

  // The first place of `value` in a row.
  INLINE size_t find(const float* u, float value) const {
    for (size_t i = 0; i < plan.feature_row; i += LANES) {
      const IVec equal = load(u + i) == broadcast(value);
      int32_t lanes[LANES], any = 0;
      std::memcpy(lanes, &equal, sizeof equal);
      for (size_t j = 0; j < LANES; j++) any |= lanes[j];
      if (any == 0) continue;
      for (size_t j = 0; j < LANES && i + j < plan.features; j++)
        if (lanes[j] != 0) return i + j;
    }
    return 0;  // Not a number.
  }

  // n of a row.
  INLINE float norm_of(const float* x) const {
    Vec squares = zero();
    size_t i = 0;
    for (; i + LANES <= plan.size; i += LANES) squares += load(x + i) * load(x + i);
    if (i < plan.size) {
      const Vec rest = load_partial(x + i, plan.size - i);
      squares += rest * rest;
    }
    return half * sum(squares);
  }

  // A row of features from one of u.
  INLINE void exponentiate(float* phi, float* exponentials, float peak, float norm) const {
    const float epsilon = plan.op.epsilon;
    const size_t last = plan.feature_row - LANES;
    size_t i = 0;
    if (exponentials == nullptr) {
      for (; i < last; i += LANES) store(phi + i, exp(load(phi + i) - peak - norm) + epsilon);
      store(phi + last, select(tail, exp(load(phi + last) - peak - norm) + epsilon, zero()));
      return;
    }
    for (; i < last; i += LANES) {
      const Vec e = exp(load(phi + i) - peak - norm);
      store(exponentials + i, e);
      store(phi + i, e + epsilon);
    }
    const Vec e = exp(load(phi + last) - peak - norm);
    store(exponentials + last, select(tail, e, zero()));
    store(phi + last, select(tail, e + epsilon, zero()));
  }

  INLINE void of_queries(float* phi, float* extra, const float* x, size_t stride, size_t rows) const {
    const size_t row = plan.feature_row;
    int32_t* places = extra == nullptr ? nullptr : reinterpret_cast<int32_t*>(extra + TILE * row);
    project(phi, x, stride, rows);
    for (size_t r = 0; r < rows; r++) {
      float* u = phi + r * row;
      const float peak = max_lane(raise(broadcast(-std::numeric_limits<float>::infinity()), u));
      if (extra != nullptr) places[r] = static_cast<int32_t>(find(u, peak));
      exponentiate(u, extra == nullptr ? nullptr : extra + r * row, peak, norm_of(x + r * stride));
    }
  }

  INLINE void of_keys(float* phi, float* extra, float*, const float* x, size_t stride, size_t rows, const float* keep,
                      size_t head) const {
    const size_t row = plan.feature_row;
    project(phi, x, stride, rows);
    for (size_t r = 0; r < rows; r++) {
      float* exponentials = extra == nullptr ? nullptr : extra + r * row;
      if (keep[r] != 0) {
        exponentiate(phi + r * row, exponentials, key_peaks[head], norm_of(x + r * stride));
        continue;
      }
      std::memset(phi + r * row, 0, row * sizeof(float));
      if (extra != nullptr) std::memset(exponentials, 0, row * sizeof(float));
    }
  }

  // dphi becomes the gradient of the exponents, whose sum it returns.
  INLINE float exponents_grad(float* dphi, const float* exponentials) const {
    Vec total = zero();
    for (size_t i = 0; i < plan.feature_row; i += LANES) {
      const Vec d = load(dphi + i) * load(exponentials + i);
      store(dphi + i, d);
      total += d;
    }
    return sum(total);
  }

  // dx = du W c - (what the exponents received) dn/dx.
  INLINE void input_grad(float* dx, const float* x, size_t stride, const float* du, const float* received, float* room,
                         size_t rows) const {
    const size_t row = plan.value_row;
    tile_product(room, row, du, plan.feature_row, 1, plan.projection, row, rows, row, plan.features, false);
    for (size_t r = 0; r < rows; r++) {
      float* to = dx + r * stride;
      const float *from = room + r * row, *input = x + r * stride;
      const float factor = 2 * half * received[r];
      size_t i = 0;
      for (; i + LANES <= plan.size; i += LANES) store(to + i, load(from + i) - factor * load(input + i));
      if (i < plan.size) {
        const size_t rest = plan.size - i;
        store_partial(to + i, load(from + i) - factor * load_partial(input + i, rest), rest);
      }
    }
  }

  INLINE void queries_grad(float* dx, const float* x, size_t stride, float* dphi, const float*, const float* extra,
                           float* room, size_t rows) const {
    const size_t row = plan.feature_row;
    const int32_t* places = reinterpret_cast<const int32_t*>(extra + TILE * row);
    float received[TILE];
    for (size_t r = 0; r < rows; r++) {
      received[r] = exponents_grad(dphi + r * row, extra + r * row);
      dphi[r * row + static_cast<size_t>(places[r])] -= received[r];
    }
    input_grad(dx, x, stride, dphi, received, room, rows);
  }

  INLINE void keys_grad(float* dx, const float* x, size_t stride, float* dphi, const float*, const float* extra,
                        float* room, size_t rows, size_t task) const {
    const size_t row = plan.feature_row;
    float received[TILE];
    for (size_t r = 0; r < rows; r++) {
      received[r] = exponents_grad(dphi + r * row, extra + r * row);
      totals[task] += received[r];
    }
    input_grad(dx, x, stride, dphi, received, room, rows);
  }
};

// Of causal attention: with b a key's largest u - n, e^b (exp(u - n - b) + ε), whose ε is relative to the key itself.
// The place of the maximum receives what ε does.
template <typename Float>
struct CausalSoftmaxFeatures : SoftmaxFeatures {
  static constexpr bool WEIGHTED = true;
  Float* largest;  // [batch, heads, length]

  CausalSoftmaxFeatures(const Plan& p, Float* peaks) : SoftmaxFeatures(p, nullptr, nullptr), largest(peaks) {}

  INLINE Float* peaks(size_t head) const { return largest + head * plan.length; }

  INLINE void of_keys(float* phi, float* extra, float* logs, const float* x, size_t stride, size_t rows,
                      const float* keep, size_t) const {
    const size_t row = plan.feature_row;
    int32_t* places = extra == nullptr ? nullptr : reinterpret_cast<int32_t*>(extra + TILE * row);
    project(phi, x, stride, rows);
    for (size_t r = 0; r < rows; r++) {
      float* u = phi + r * row;
      float* exponentials = extra == nullptr ? nullptr : extra + r * row;
      if (keep[r] == 0) {
        logs[r] = NO_PEAK;
        std::memset(u, 0, row * sizeof(float));
        if (extra == nullptr) continue;
        places[r] = -1;
        std::memset(exponentials, 0, row * sizeof(float));
        continue;
      }
      const float top = max_lane(raise(broadcast(-std::numeric_limits<float>::infinity()), u));
      logs[r] = top - norm_of(x + r * stride);
      if (extra != nullptr) places[r] = static_cast<int32_t>(find(u, top));
      exponentiate(u, exponentials, top, 0);
    }
  }

  INLINE void keys_grad(float* dx, const float* x, size_t stride, float* dphi, const float*, const float* extra,
                        float* room, size_t rows, size_t) const {
    const size_t row = plan.feature_row;
    const int32_t* places = reinterpret_cast<const int32_t*>(extra + TILE * row);
    float received[TILE];
    for (size_t r = 0; r < rows; r++) {
      float* d = dphi + r * row;
      Vec all = zero();
      for (size_t i = 0; i < row; i += LANES) all += load(d + i);
      received[r] = exponents_grad(d, extra + r * row);
      if (places[r] < 0) continue;
      const float shifted = plan.op.epsilon * sum(all);
      d[places[r]] += shifted;
      received[r] += shifted;
    }
    input_grad(dx, x, stride, dphi, received, room, rows);
  }
};

// The largest u of kept keys, and where it comes first.
struct Peak {
  float value = -std::numeric_limits<float>::infinity();
  int32_t position = -1, feature = 0;
};

}  // namespace favor_detail

void favor_softmax(const FavorSoftmaxForward& op) {
  using namespace favor_detail;
  const Plan plan(op, SoftmaxFeatures::scale(op));
  if (op.causal) {
    std::fill_n(op.places, 2 * plan.heads, -1);
    attend(op, plan, CausalSoftmaxFeatures<float>(plan, op.peaks));
    return;
  }
  const SoftmaxFeatures features(plan, op.peaks, nullptr);
  const size_t row = plan.feature_row;
  Peak* peaks = static_cast<Peak*>(scratch(Scratch::kernel4, plan.heads * plan.chunks * sizeof(Peak)));
  const auto chunk_peak = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks;
    const Head head = plan.head(task / plan.chunks);
    float* u = scratch_of(Scratch::kernel2, TILE * row);
    const size_t end = std::min(plan.length, (chunk + 1) * plan.chunk);
    Peak peak;
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      const float* keep = head.keep + begin;
      prefetch_rows(head.k + begin * head.stride, head.stride, rows, plan.size);
      features.project(u, head.k + begin * head.stride, head.stride, rows);
      Vec top = broadcast(peak.value);
      for (size_t r = 0; r < rows; r++)
        if (keep[r] != 0) top = features.raise(top, u + r * row);
      const float value = max_lane(top);
      if (!(value > peak.value)) continue;
      peak.value = value;
      for (size_t r = 0; r < rows; r++) {
        const size_t feature = keep[r] != 0 ? features.find(u + r * row, value) : 0;
        if (keep[r] == 0 || u[r * row + feature] != value) continue;
        peak.position = static_cast<int32_t>(begin + r);
        peak.feature = static_cast<int32_t>(feature);
        break;
      }
    }
    peaks[task] = peak;
  };
  const auto head_peak = [&](size_t head) ISA_LAMBDA {
    Peak peak;
    for (size_t chunk = 0; chunk < plan.chunks; chunk++) {
      const Peak& other = peaks[head * plan.chunks + chunk];
      if (other.value > peak.value) peak = other;
    }
    op.peaks[head] = peak.value;
    op.places[2 * head] = peak.position;
    op.places[2 * head + 1] = peak.feature;
  };
  attend(op, plan, features, chunk_peak, head_peak);
}

void favor_softmax_grad(const FavorSoftmaxBackward& op) {
  using namespace favor_detail;
  const Plan plan(op, SoftmaxFeatures::scale(op));
  if (op.causal) {
    attend_grad(op, plan, CausalSoftmaxFeatures<const float>(plan, op.peaks));
    return;
  }
  const size_t bytes = plan.heads * plan.chunks * sizeof(double);
  double* totals = static_cast<double*>(scratch(Scratch::kernel4, bytes));
  std::memset(totals, 0, bytes);
  const auto move_peak = [&](size_t head) ISA_LAMBDA {
    if (op.places[2 * head] < 0) return;
    const size_t position = static_cast<size_t>(op.places[2 * head]);
    const float* w = plan.projection + static_cast<size_t>(op.places[2 * head + 1]) * plan.value_row;
    double total = 0;
    for (size_t chunk = 0; chunk < plan.chunks; chunk++) total += totals[head * plan.chunks + chunk];
    float* dk = op.dqkv + plan.qkv_offset(head) + plan.width() + position * 3 * plan.width();
    for (size_t i = 0; i < plan.size; i++) dk[i] -= static_cast<float>(total) * w[i];
  };
  attend_grad(op, plan, SoftmaxFeatures(plan, op.peaks, totals), move_peak);
}

}  // namespace ISA
}  // namespace protein_lm
