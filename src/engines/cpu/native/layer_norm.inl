// LayerNorm with the residual and its dropout.

namespace protein_lm {
namespace ISA {

// hash >= threshold ? value * scale : 0 for the elements from `index` on.
INLINE Vec apply_dropout(const Dropout& dropout, Vec value, uint32_t index) {
  UVec x;
  for (size_t i = 0; i < LANES; i++) x[i] = static_cast<uint32_t>(i);
  x += index + dropout.offset;
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  const UVec threshold = UVec{} + dropout.threshold;
  const Vec kept = select(reinterpret_cast<IVec>(x >= threshold), value * dropout.scale, zero());
  return dropout.all ? zero() : kept;
}

namespace layer_norm_detail {

constexpr size_t ROWS = 16;  // rows of a task of the forward

// Calls f(column, lanes, full) over a row's vectors.
template <typename F>
INLINE void columns(size_t width, F&& f) {
  size_t i = 0;
  for (; i + LANES <= width; i += LANES) f(i, LANES);
  if (i < width) f(i, width - i);
}
INLINE Vec get(const float* p, size_t lanes) { return lanes == LANES ? load(p) : load_partial(p, lanes); }
INLINE void put(float* p, Vec v, size_t lanes) {
  if (lanes == LANES) store(p, v);
  else store_partial(p, v, lanes);
}
// 1 in the lanes in use.
INLINE Vec in_use(size_t lanes) {
  Vec v = zero();
  for (size_t i = 0; i < lanes; i++) v[i] = 1;
  return v;
}

}  // namespace layer_norm_detail

void layer_norm(const LayerNorm& op) {
  using namespace layer_norm_detail;
  const size_t width = op.width;
  const float share = 1.0f / static_cast<float>(width);
  parallel_ranges(op.rows, ROWS, [&](size_t begin, size_t end) ISA_LAMBDA {
    for (size_t row = begin; row < end; row++) {
      const float* x = op.x + row * width;
      const uint32_t index = static_cast<uint32_t>(row * width);
      Vec total = zero();
      if (op.residual != nullptr) {
        const float* residual = op.residual + row * width;
        float* sum_row = op.sum + row * width;
        columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
          Vec r = get(residual + i, lanes);
          if (op.dropout.active) r = apply_dropout(op.dropout, r, index + static_cast<uint32_t>(i));
          const Vec s = get(x + i, lanes) + r;
          put(sum_row + i, s, lanes);
          total += s;
        });
        x = sum_row;
      } else {
        columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA { total += get(x + i, lanes); });
      }
      const float mean = sum(total) * share;
      Vec squares = zero();
      columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
        Vec centred = get(x + i, lanes) - mean;
        if (lanes < LANES) centred *= in_use(lanes);
        squares += centred * centred;
      });
      const float reciprocal = 1 / std::sqrt(sum(squares) * share + op.epsilon);
      float* normed = op.normed + row * width;
      columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
        const Vec scaled = (get(x + i, lanes) - mean) * reciprocal;
        put(normed + i, scaled * get(op.gamma + i, lanes) + get(op.beta + i, lanes), lanes);
      });
      op.moments[2 * row] = mean;
      op.moments[2 * row + 1] = reciprocal;
    }
  });
}

void layer_norm_grad(const LayerNormGrad& op) {
  using namespace layer_norm_detail;
  const size_t width = op.width;
  const float share = 1.0f / static_cast<float>(width);
  // Every block of rows sums its share of dgamma and dbeta; the number of blocks follows from the shape alone.
  const size_t per_block = std::max<size_t>(ROWS, (op.rows + 63) / 64);
  const size_t blocks = (op.rows + per_block - 1) / per_block;
  const size_t padded = (width + LANES - 1) / LANES * LANES;
  float* partial = scratch_of(Scratch::kernel, std::max<size_t>(1, blocks) * 2 * padded);
  parallel_for(blocks, [&](size_t block) ISA_LAMBDA {
    float* dgamma = partial + block * 2 * padded;
    float* dbeta = dgamma + padded;
    std::memset(dgamma, 0, 2 * padded * sizeof(float));
    const size_t end = std::min(op.rows, (block + 1) * per_block);
    for (size_t row = block * per_block; row < end; row++) {
      const float *x = op.x + row * width, *dnormed = op.dnormed + row * width;
      const float mean = op.moments[2 * row], reciprocal = op.moments[2 * row + 1];
      Vec total = zero(), product = zero();
      columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
        const Vec dy = get(dnormed + i, lanes);
        const Vec normal = (get(x + i, lanes) - mean) * reciprocal;
        const Vec g = dy * get(op.gamma + i, lanes);
        total += g;
        product += g * normal;
        store(dgamma + i, load(dgamma + i) + dy * normal);
        store(dbeta + i, load(dbeta + i) + dy);
      });
      const float mean_g = sum(total) * share, mean_product = sum(product) * share;
      const float* dsum = op.dsum == nullptr ? nullptr : op.dsum + row * width;
      float* dx = op.dx + row * width;
      const uint32_t index = static_cast<uint32_t>(row * width);
      columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
        const Vec normal = (get(x + i, lanes) - mean) * reciprocal;
        const Vec g = get(dnormed + i, lanes) * get(op.gamma + i, lanes);
        Vec d = (g - mean_g - normal * mean_product) * reciprocal;
        if (dsum != nullptr) d += get(dsum + i, lanes);
        put(dx + i, d, lanes);
        if (op.dresidual != nullptr) {
          if (op.dropout.active) d = apply_dropout(op.dropout, d, index + static_cast<uint32_t>(i));
          put(op.dresidual + row * width + i, d, lanes);
        }
      });
    }
  });
  columns(width, [&](size_t i, size_t lanes) ISA_LAMBDA {
    Vec dgamma = zero(), dbeta = zero();
    for (size_t block = 0; block < blocks; block++) {
      dgamma += load(partial + block * 2 * padded + i);
      dbeta += load(partial + block * 2 * padded + padded + i);
    }
    put(op.dgamma + i, dgamma, lanes);
    put(op.dbeta + i, dbeta, lanes);
  });
}

}  // namespace ISA
}  // namespace protein_lm
