// FAVOR-ReLU attention: out = φ(q) S / φ(q) z with S = φ(k)ᵀ v and z = φ(k)ᵀ 1, in tiles of tokens, so that features
// exist for one tile at a time. A sequence is cut into chunks by its length alone; every chunk sums its share of S, and
// the shares are added up (causal: one by one, forwards for S, backwards for its gradient; nothing is subtracted).

namespace protein_lm {
namespace ISA {

namespace favor_detail {

constexpr size_t TILE = 64;         // tokens whose features exist at a time
constexpr size_t MIN_CHUNK = 256;   // tokens
constexpr size_t MAX_CHUNKS = 16;   // of a sequence
constexpr size_t SMALL_HEAD = 32768;  // floats of a head's queries

// One head of one sequence, seen through qkv's strides.
struct Head {
  const float *q, *k, *v, *keep;
  size_t stride;
};

struct Plan {
  const FavorRelu& op;
  size_t length, size, features;
  size_t feature_row, value_row;  // floats in a row of a tile of features, of values
  size_t chunk, chunks, heads;    // heads: of all sequences
  // Wᵀ [size, feature_row] and W [features, value_row], with zeros at the ends of rows.
  const float *projection_t = nullptr, *projection = nullptr;

  explicit Plan(const FavorRelu& favor) : op(favor) {
    length = op.shape.length;
    size = op.shape.size;
    features = op.features;
    feature_row = padded(features);
    value_row = padded(size);
    chunk = std::max(MIN_CHUNK, round_up((length + MAX_CHUNKS - 1) / MAX_CHUNKS, TILE));
    chunks = (length + chunk - 1) / chunk;
    heads = op.shape.batch * op.shape.heads;
    if (op.projection != nullptr) {
      float* memory = scratch_of(Scratch::kernel3, size * feature_row + features * value_row + 1);
      transpose_tile(memory, feature_row, op.projection, size, features, size);
      projection_t = memory;
      memory += size * feature_row;
      copy_tile(memory, value_row, op.projection, size, features, size);
      projection = memory;
    }
  }

  INLINE size_t width() const { return op.shape.heads * size; }
  INLINE size_t sequence_of(size_t head) const { return head / op.shape.heads; }
  // First float of a head in a [batch, length, heads, size] tensor, its rows width() apart.
  INLINE size_t offset(size_t head) const {
    return sequence_of(head) * length * width() + head % op.shape.heads * size;
  }
  INLINE size_t qkv_offset(size_t head) const {
    return sequence_of(head) * length * 3 * width() + head % op.shape.heads * size;
  }
  INLINE Head head(size_t i) const {
    const float* q = op.qkv + qkv_offset(i);
    return {q, q + width(), q + 2 * width(), op.keep + sequence_of(i) * length, 3 * width()};
  }

  // Sums of chunks, their totals, and what every chunk makes of them: one after the other for a head whose tokens stay
  // in the second cache, for all heads at once otherwise. The results are the same.
  template <typename Sum, typename Combine, typename Finish>
  INLINE void run_phases(Sum&& sum_chunk, Combine&& combine_chunks, Finish&& finish_chunk) const {
    if (length * size <= SMALL_HEAD && heads > 1) {
      parallel_for(heads, [&](size_t head) ISA_LAMBDA {
        for (size_t chunk = 0; chunk < chunks; chunk++) sum_chunk(head * chunks + chunk);
        combine_chunks(head);
        for (size_t chunk = 0; chunk < chunks; chunk++) finish_chunk(head * chunks + chunk);
      });
      return;
    }
    parallel_for(heads * chunks, sum_chunk);
    parallel_for(heads, combine_chunks);
    parallel_for(heads * chunks, finish_chunk);
  }

  // phi [rows, feature_row] = relu(x) + ε or relu(W x) + ε, zero in rows that are not kept and past the features.
  INLINE void make_features(float* phi, const float* x, size_t stride, size_t rows, const float* keep) const {
    if (projection_t != nullptr) {
      tile_product(phi, feature_row, x, stride, 1, projection_t, feature_row, rows, feature_row, size, false);
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
      for (; i + LANES <= features; i += LANES) store(to + i, max(zero(), load(from + i)) + op.epsilon);
      if (i < features) {
        const Vec value = max(zero(), load_partial(from + i, features - i)) + op.epsilon;
        store(to + i, zero());
        store_partial(to + i, value, features - i);
      }
    }
  }

  // target [rows, size] from the gradient of the features, which it overwrites: through relu, and through W.
  INLINE void features_to_input(float* target, size_t stride, float* dphi, const float* phi, float* room,
                                size_t rows) const {
    for (size_t i = 0; i < rows * feature_row; i += LANES)
      store(dphi + i, select(load(phi + i) > broadcast(op.epsilon), load(dphi + i), zero()));
    const float* result = dphi;
    size_t row = feature_row;
    if (projection != nullptr) {
      tile_product(room, value_row, dphi, feature_row, 1, projection, value_row, rows, value_row, features, false);
      result = room;
      row = value_row;
    }
    for (size_t r = 0; r < rows; r++) put_row(target + r * stride, result + r * row, 1);
  }

  // target [size] = source * factor.
  INLINE void put_row(float* target, const float* source, float factor) const {
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(target + i, load(source + i) * factor);
    if (i < size) store_partial(target + i, load(source + i) * factor, size - i);
  }
};

INLINE float reciprocal_or_zero(float x) { return x == 0 ? 0 : 1 / x; }

INLINE void add_to(float* target, const float* source, size_t count) {
  for (size_t i = 0; i < count; i += LANES) store(target + i, load(target + i) + load(source + i));
}

// states [chunks, count]: the total into every reader's place (the first), or the sums of what lies before
// (after, when reverse) each chunk. count is whole vectors.
INLINE void combine(float* states, size_t chunks, size_t count, bool causal, bool reverse) {
  if (!causal) {
    for (size_t c = 1; c < chunks; c++) add_to(states, states + c * count, count);
    return;
  }
  for (size_t i = 0; i < count; i += LANES) {
    Vec total = zero();
    for (size_t n = 0; n < chunks; n++) {
      float* state = states + (reverse ? chunks - 1 - n : n) * count + i;
      const Vec own = load(state);
      store(state, total);
      total += own;
    }
  }
}

// Sets scores [i][j] to zero for j > i.
INLINE void hide_future(float* scores, size_t rows) {
  for (size_t i = 0; i < rows; i++) std::memset(scores + i * TILE + i + 1, 0, (TILE - i - 1) * sizeof(float));
}

}  // namespace favor_detail

void favor_relu(const FavorReluForward& op) {
  using namespace favor_detail;
  const Plan plan(op);
  const size_t m = plan.features, fr = plan.feature_row, vr = plan.value_row, length = plan.length;
  const size_t state_size = m * vr + fr;  // S [m, value_row], z [feature_row]
  float* states = scratch_of(Scratch::kernel, plan.heads * plan.chunks * state_size + 1);

  // Adds a tile's keys to S and z. phi [rows, fr], values [rows, vr].
  const auto add_keys = [&](float* state, const float* phi, const float* values, size_t rows) ISA_LAMBDA {
    tile_product(state, vr, phi, 1, fr, values, vr, m, vr, rows, true);
    float* z = state + m * vr;
    for (size_t i = 0; i < fr; i += LANES) {
      Vec total = load(z + i);
      for (size_t r = 0; r < rows; r++) total += load(phi + r * fr + i);
      store(z + i, total);
    }
  };

  const auto sum_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks;
    float* state = states + task * state_size;
    std::memset(state, 0, state_size * sizeof(float));
    const Head head = plan.head(task / plan.chunks);
    float* phi = scratch_of(Scratch::kernel2, TILE * (fr + vr));
    float* values = phi + TILE * fr;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.k + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.v + begin * head.stride, head.stride, rows, plan.size);
      plan.make_features(phi, head.k + begin * head.stride, head.stride, rows, head.keep + begin);
      copy_tile(values, vr, head.v + begin * head.stride, head.stride, rows, plan.size);
      add_keys(state, phi, values, rows);
    }
  };
  const auto combine_chunks = [&](size_t head) ISA_LAMBDA {
    combine(states + head * plan.chunks * state_size, plan.chunks, state_size, op.causal, false);
  };
  const auto attend_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks, head_index = task / plan.chunks;
    const Head head = plan.head(head_index);
    // Causal: this chunk's own copy of the sums before it, which its tiles move on.
    float* state = states + (op.causal ? task : head_index * plan.chunks) * state_size;
    const float* z = state + m * vr;
    float* queries = scratch_of(Scratch::kernel2, TILE * (2 * fr + 2 * vr + TILE) + fr * TILE);
    float* keys = queries + TILE * fr;
    float* values = keys + TILE * fr;
    float* result = values + TILE * vr;
    float* scores = result + TILE * vr;
    float* keys_t = scores + TILE * TILE;
    float* out = op.out + plan.offset(head_index);
    float* denominators = op.denominators + head_index * length;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.q + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(out + begin * plan.width(), plan.width(), rows, plan.size);
      plan.make_features(queries, head.q + begin * head.stride, head.stride, rows, nullptr);
      tile_product(result, vr, queries, fr, 1, state, vr, rows, vr, m, false);
      if (op.causal) {
        plan.make_features(keys, head.k + begin * head.stride, head.stride, rows, head.keep + begin);
        copy_tile(values, vr, head.v + begin * head.stride, head.stride, rows, plan.size);
        transpose_tile(keys_t, TILE, keys, fr, rows, m);
        tile_product(scores, TILE, queries, fr, 1, keys_t, TILE, rows, TILE, m, false);
        hide_future(scores, rows);
        tile_product(result, vr, scores, TILE, 1, values, vr, rows, vr, rows, true);
      }
      for (size_t r = 0; r < rows; r++) {
        Vec total = zero();
        for (size_t i = 0; i < fr; i += LANES) total += load(queries + r * fr + i) * load(z + i);
        if (op.causal)
          for (size_t i = 0; i < TILE; i += LANES) total += load(scores + r * TILE + i);
        const float denominator = sum(total);
        denominators[begin + r] = denominator;
        plan.put_row(out + (begin + r) * plan.width(), result + r * vr, reciprocal_or_zero(denominator));
      }
      if (op.causal) add_keys(state, keys, values, rows);
    }
  };
  plan.run_phases(sum_chunk, combine_chunks, attend_chunk);
}

// With v' = [v, 1] and the gradients of numerator and denominator side by side, n' = [dy, -dy · out] / denominator:
// dφ(q) = n' S'ᵀ, dφ(k) = v' dS'ᵀ and dv = φ(k) dS, where S'ᵀ = v'ᵀ φ(k) and dS'ᵀ = n'ᵀ φ(q), both [size + 1, features].
void favor_relu_grad(const FavorReluBackward& op) {
  using namespace favor_detail;
  const Plan plan(op);
  const size_t m = plan.features, fr = plan.feature_row, vr = plan.value_row, length = plan.length;
  const size_t columns = plan.size + 1, cr = padded(columns);
  const size_t state_size = columns * fr;
  float* states = scratch_of(Scratch::kernel, 2 * plan.heads * plan.chunks * state_size + 1);
  float* gradients = states + plan.heads * plan.chunks * state_size;

  // values [rows, cr] = [v, 1].
  const auto make_values = [&](float* values, const Head& head, size_t begin, size_t rows) ISA_LAMBDA {
    copy_tile(values, cr, head.v + begin * head.stride, head.stride, rows, plan.size);
    for (size_t r = 0; r < rows; r++) {
      float* row = values + r * cr;
      row[plan.size] = 1;
      std::fill(row + columns, row + cr, 0.0f);
    }
  };
  // numerators [rows, cr] = n'.
  const auto make_numerators = [&](float* numerators, size_t head, size_t begin, size_t rows) ISA_LAMBDA {
    for (size_t r = 0; r < rows; r++) {
      const size_t place = plan.offset(head) + (begin + r) * plan.width();
      const float *dy = op.dy + place, *out = op.out + place;
      float* row = numerators + r * cr;
      const float factor = reciprocal_or_zero(op.denominators[head * length + begin + r]);
      Vec product = zero();
      size_t i = 0;
      for (; i + LANES <= plan.size; i += LANES) {
        const Vec d = load(dy + i) * factor;
        product += d * load(out + i);
        store(row + i, d);
      }
      if (i < plan.size) {
        const size_t rest = plan.size - i;
        const Vec d = load_partial(dy + i, rest) * factor;
        product += d * load_partial(out + i, rest);
        store_partial(row + i, d, rest);
      }
      row[plan.size] = -sum(product);
      std::fill(row + columns, row + cr, 0.0f);
    }
  };

  const auto sum_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks, head_index = task / plan.chunks;
    const Head head = plan.head(head_index);
    float *state = states + task * state_size, *gradient = gradients + task * state_size;
    std::memset(state, 0, state_size * sizeof(float));
    std::memset(gradient, 0, state_size * sizeof(float));
    float* phi = scratch_of(Scratch::kernel2, TILE * (fr + cr));
    float* values = phi + TILE * fr;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.k + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.v + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.q + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(op.dy + plan.offset(head_index) + begin * plan.width(), plan.width(), rows, plan.size);
      prefetch_rows(op.out + plan.offset(head_index) + begin * plan.width(), plan.width(), rows, plan.size);
      plan.make_features(phi, head.k + begin * head.stride, head.stride, rows, head.keep + begin);
      make_values(values, head, begin, rows);
      tile_product(state, fr, values, 1, cr, phi, fr, columns, fr, rows, true);
      plan.make_features(phi, head.q + begin * head.stride, head.stride, rows, nullptr);
      make_numerators(values, head_index, begin, rows);
      tile_product(gradient, fr, values, 1, cr, phi, fr, columns, fr, rows, true);
    }
  };
  const auto combine_chunks = [&](size_t head) ISA_LAMBDA {
    combine(states + head * plan.chunks * state_size, plan.chunks, state_size, op.causal, false);
    combine(gradients + head * plan.chunks * state_size, plan.chunks, state_size, op.causal, true);
  };
  const auto differentiate_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks, head_index = task / plan.chunks;
    const Head head = plan.head(head_index);
    const size_t slot = (op.causal ? task : head_index * plan.chunks) * state_size;
    float *state = states + slot, *gradient = gradients + slot;
    float* queries = scratch_of(Scratch::kernel2, TILE * (2 * fr + std::max(fr, vr) + 2 * cr + vr + 2 * TILE) + (fr + cr) * TILE + m * vr);
    float* keys = queries + TILE * fr;
    float* dphi = keys + TILE * fr;
    float* values = dphi + TILE * std::max(fr, vr);
    float* numerators = values + TILE * cr;
    float* room = numerators + TILE * cr;
    float* scores = room + TILE * vr;
    float* dscores = scores + TILE * TILE;
    float* keys_t = dscores + TILE * TILE;
    float* values_t = keys_t + TILE * fr;
    float* gradient_t = values_t + TILE * cr;
    float* dq = op.dqkv + plan.qkv_offset(head_index);
    float *dk = dq + plan.width(), *dv = dk + plan.width();
    const size_t first = chunk * plan.chunk, end = std::min(length, first + plan.chunk);
    const auto load_tile = [&](size_t begin, size_t rows) ISA_LAMBDA {
      plan.make_features(queries, head.q + begin * head.stride, head.stride, rows, nullptr);
      plan.make_features(keys, head.k + begin * head.stride, head.stride, rows, head.keep + begin);
      make_values(values, head, begin, rows);
      make_numerators(numerators, head_index, begin, rows);
    };
    // dscores = n' v'ᵀ for the keys up to the query.
    const auto make_dscores = [&](size_t rows) ISA_LAMBDA {
      transpose_tile(values_t, TILE, values, cr, rows, columns);
      tile_product(dscores, TILE, numerators, cr, 1, values_t, TILE, rows, TILE, columns, false);
      hide_future(dscores, rows);
    };
    const auto store_dq = [&](size_t begin, size_t rows) ISA_LAMBDA {
      tile_product(dphi, fr, numerators, cr, 1, state, fr, rows, fr, columns, false);
      if (op.causal) tile_product(dphi, fr, dscores, TILE, 1, keys, fr, rows, fr, rows, true);
      plan.features_to_input(dq + begin * head.stride, head.stride, dphi, queries, room, rows);
    };
    const auto store_dk_dv = [&](size_t begin, size_t rows) ISA_LAMBDA {
      tile_product(dphi, fr, values, cr, 1, gradient, fr, rows, fr, columns, false);
      if (op.causal) tile_product(dphi, fr, dscores, 1, TILE, queries, fr, rows, fr, rows, true);
      plan.features_to_input(dk + begin * head.stride, head.stride, dphi, keys, room, rows);
      tile_product(room, vr, keys, fr, 1, gradient_t, vr, rows, vr, m, false);
      if (op.causal) {
        transpose_tile(keys_t, TILE, keys, fr, rows, m);
        tile_product(scores, TILE, queries, fr, 1, keys_t, TILE, rows, TILE, m, false);
        hide_future(scores, rows);
        copy_tile(dphi, vr, numerators, cr, rows, plan.size);
        tile_product(room, vr, scores, 1, TILE, dphi, vr, rows, vr, rows, true);
      }
      for (size_t r = 0; r < rows; r++) plan.put_row(dv + (begin + r) * head.stride, room + r * vr, 1);
    };
    if (!op.causal) {
      transpose_tile(gradient_t, vr, gradient, fr, plan.size, m);
      for (size_t begin = first; begin < end; begin += TILE) {
        const size_t rows = std::min(TILE, end - begin);
        prefetch_rows(dq + begin * head.stride, head.stride, rows, plan.size);
        prefetch_rows(dk + begin * head.stride, head.stride, rows, plan.size);
        prefetch_rows(dv + begin * head.stride, head.stride, rows, plan.size);
        load_tile(begin, rows);
        store_dq(begin, rows);
        store_dk_dv(begin, rows);
      }
      return;
    }
    for (size_t begin = first; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      load_tile(begin, rows);
      make_dscores(rows);
      store_dq(begin, rows);
      tile_product(state, fr, values, 1, cr, keys, fr, columns, fr, rows, true);
    }
    for (size_t begin = first + (end - first - 1) / TILE * TILE;; begin -= TILE) {
      const size_t rows = std::min(TILE, end - begin);
      load_tile(begin, rows);
      make_dscores(rows);
      transpose_tile(gradient_t, vr, gradient, fr, plan.size, m);
      store_dk_dv(begin, rows);
      tile_product(gradient, fr, numerators, 1, cr, queries, fr, columns, fr, rows, true);
      if (begin == first) break;
    }
  };
  plan.run_phases(sum_chunk, combine_chunks, differentiate_chunk);
}

}  // namespace ISA
}  // namespace protein_lm
