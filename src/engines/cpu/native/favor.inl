// Attention from features φ: out = φ(q) S / φ(q) z with S = φ(k)ᵀ v and z = φ(k)ᵀ 1, in tiles of tokens, so that features
// exist for one tile at a time. A sequence is cut into chunks by its length alone; every chunk sums its share of S, and
// the shares are added up (causal: one by one, forwards for S, backwards for its gradient; nothing is subtracted). Causal
// chunks are all of one size, so that a prefix's results are the same bits whatever follows it.
//
// What the features are says a type (favor_relu.inl, favor_softmax.inl) with
//   WEIGHTED                                            whether keys have logarithmic weights: causal attention only
//   extra()                                             floats beside a tile of features that its gradient needs
//   of_queries(phi, extra, x, stride, rows)             phi [rows, feature_row], zero past the features; extra may be null
//   of_keys(phi, extra, logs, x, stride, rows, keep, head)  the same, zero in rows that are not kept, and WEIGHTED logs
//   peaks(head)                                         WEIGHTED: where the largest logs so far are kept [length]
//   queries_grad(dx, x, stride, dphi, phi, extra, room, rows)        dx from the gradient of phi, which it overwrites
//   keys_grad(dx, x, stride, dphi, phi, extra, room, rows, task)
//
// WEIGHTED keys count e^b φ(k) for logarithms b that have no bound. A query i sees its keys relative to the largest
// b so far, p(i), and so do its denominator and its gradients: every factor is e^(b - p(i)) or e^(p(i) - p(later)), at
// most 1, and depends on nothing that follows. What is summed over tokens is kept relative to one of these maxima.

namespace protein_lm {
namespace ISA {

namespace favor_detail {

constexpr size_t TILE = 64;         // tokens whose features exist at a time
constexpr size_t MIN_CHUNK = 256;   // tokens
constexpr size_t MAX_CHUNKS = 16;   // of a sequence, unless causal
constexpr float NO_PEAK = -1e30f;   // the largest logarithm where there is no key yet
constexpr size_t SMALL_HEAD = 32768;  // floats of a head's queries

// One head of one sequence, seen through qkv's strides.
struct Head {
  const float *q, *k, *v, *keep;
  size_t stride;
};

struct Plan {
  const Favor& op;
  size_t length, size, features;
  size_t feature_row, value_row;  // floats in a row of a tile of features, of values
  size_t chunk, chunks, heads;    // heads: of all sequences
  // Wᵀ [size, feature_row] and W [features, value_row], scaled, with zeros at the ends of rows.
  const float *projection_t = nullptr, *projection = nullptr;

  explicit Plan(const Favor& favor, float scale = 1) : op(favor) {
    length = op.shape.length;
    size = op.shape.size;
    features = op.features;
    feature_row = padded(features);
    value_row = padded(size);
    chunk = op.causal ? MIN_CHUNK : std::max(MIN_CHUNK, round_up((length + MAX_CHUNKS - 1) / MAX_CHUNKS, TILE));
    chunks = (length + chunk - 1) / chunk;
    heads = op.shape.batch * op.shape.heads;
    if (op.projection != nullptr) {
      const size_t count = size * feature_row + features * value_row;
      float* const first = scratch_of(Scratch::kernel3, count + 1);
      float* memory = first;
      transpose_tile(memory, feature_row, op.projection, size, features, size);
      projection_t = memory;
      memory += size * feature_row;
      copy_tile(memory, value_row, op.projection, size, features, size);
      projection = memory;
      if (scale != 1)
        for (size_t i = 0; i < count; i++) first[i] *= scale;
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

  // Runs functions of chunks (index head * chunks + chunk) and of heads in turn, chunks first: one after the other for a
  // head whose tokens stay in the second cache, for all heads at once otherwise. The results are the same.
  template <typename... Phases>
  INLINE void run_phases(Phases&&... phases) const {
    if (length * size <= SMALL_HEAD && heads > 1)
      parallel_for(heads, [&](size_t head) ISA_LAMBDA { run_head<true>(head, phases...); });
    else
      run_heads<true>(phases...);
  }
  template <bool CHUNKS, typename Phase, typename... Rest>
  INLINE void run_head(size_t head, Phase& phase, Rest&... rest) const {
    if constexpr (CHUNKS)
      for (size_t chunk = 0; chunk < chunks; chunk++) phase(head * chunks + chunk);
    else
      phase(head);
    if constexpr (sizeof...(Rest) > 0) run_head<!CHUNKS>(head, rest...);
  }
  template <bool CHUNKS, typename Phase, typename... Rest>
  INLINE void run_heads(Phase& phase, Rest&... rest) const {
    parallel_for(CHUNKS ? heads * chunks : heads, phase);
    if constexpr (sizeof...(Rest) > 0) run_heads<!CHUNKS>(rest...);
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

INLINE float exp_of(float x) { return exp(broadcast(x))[0]; }

INLINE void scale_by(float* values, float factor, size_t count) {
  for (size_t i = 0; i < count; i += LANES) store(values + i, load(values + i) * factor);
}

// As `combine` of causal sums that are relative to e^references [chunks]; what lies before a chunk is left relative to
// e^befores [chunks]. Those of later chunks are no smaller, in reverse no larger.
INLINE void combine_weighted(float* states, const float* references, const float* befores, size_t chunks, size_t count,
                             bool reverse, float* total) {
  std::memset(total, 0, count * sizeof(float));
  for (size_t n = 0; n < chunks; n++) {
    const size_t chunk = reverse ? chunks - 1 - n : n;
    float* state = states + chunk * count;
    // The sum so far is relative to befores[chunk]; the next one's to befores[next].
    const size_t next = reverse ? chunk - 1 : chunk + 1;
    const bool last = n + 1 == chunks;
    const float moved = last ? 0 : exp_of(-std::abs(befores[next] - befores[chunk]));
    const float joined = last ? 0 : exp_of(-std::abs(befores[next] - references[chunk]));
    for (size_t i = 0; i < count; i += LANES) {
      const Vec own = load(state + i), sum = load(total + i);
      store(state + i, sum);
      store(total + i, sum * moved + own * joined);
    }
  }
}

// factors [rows] = e^(logs - peak).
INLINE void weights_of(float* factors, const float* logs, float peak, size_t rows) {
  for (size_t i = 0; i < rows; i += LANES) store(factors + i, exp(load(logs + i) - peak));
}

// Multiplies scores [i][j] by e^(logs[j] - peaks[i]) for j <= i. Maxima are few: their weights are computed once.
INLINE void weigh_scores(float* scores, const float* logs, const float* peaks, float* factors, size_t rows) {
  for (size_t i = 0; i < rows; i++) {
    if (i == 0 || peaks[i] != peaks[i - 1]) weights_of(factors, logs, peaks[i], TILE);
    float* row = scores + i * TILE;
    for (size_t j = 0; j <= i; j += LANES) store(row + j, load(row + j) * load(factors + j));
  }
}

// Sets scores [i][j] to zero for j > i.
INLINE void hide_future(float* scores, size_t rows) {
  for (size_t i = 0; i < rows; i++) std::memset(scores + i * TILE + i + 1, 0, (TILE - i - 1) * sizeof(float));
}

// `first`: phases that run before the others.
template <typename Features, typename... First>
INLINE void attend(const FavorForward& op, const Plan& plan, const Features& features, First&&... first) {
  const size_t m = plan.features, fr = plan.feature_row, vr = plan.value_row, length = plan.length;
  const size_t state_size = m * vr + fr;  // S [m, value_row], z [feature_row]
  const size_t count = plan.heads * plan.chunks;
  // WEIGHTED: the largest logarithm of each chunk, and of all before it.
  float* states = scratch_of(Scratch::kernel, count * state_size + 1 + 2 * count);
  float* chunk_peaks = states + count * state_size;
  float* peaks_before = chunk_peaks + count;

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
    float* phi = scratch_of(Scratch::kernel2, TILE * (fr + vr + 2));
    float* values = phi + TILE * fr;
    float* logs = values + TILE * vr;
    float* factors = logs + TILE;
    float peak = NO_PEAK;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.k + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.v + begin * head.stride, head.stride, rows, plan.size);
      features.of_keys(phi, nullptr, logs, head.k + begin * head.stride, head.stride, rows, head.keep + begin,
                       task / plan.chunks);
      copy_tile(values, vr, head.v + begin * head.stride, head.stride, rows, plan.size);
      if constexpr (Features::WEIGHTED) {
        const float higher = *std::max_element(logs, logs + rows);
        if (higher > peak) {
          scale_by(state, exp_of(peak - higher), state_size);
          peak = higher;
        }
        weights_of(factors, logs, peak, rows);
        for (size_t r = 0; r < rows; r++) scale_by(phi + r * fr, factors[r], fr);
      }
      add_keys(state, phi, values, rows);
    }
    if constexpr (Features::WEIGHTED) chunk_peaks[task] = peak;
  };
  const auto combine_chunks = [&](size_t head) ISA_LAMBDA {
    float* const own = states + head * plan.chunks * state_size;
    if constexpr (Features::WEIGHTED) {
      const float* chunk_peak = chunk_peaks + head * plan.chunks;
      float *before = peaks_before + head * plan.chunks, peak = NO_PEAK;
      for (size_t chunk = 0; chunk < plan.chunks; chunk++) {
        before[chunk] = peak;
        peak = std::max(peak, chunk_peak[chunk]);
      }
      combine_weighted(own, chunk_peak, before, plan.chunks, state_size, false,
                       scratch_of(Scratch::kernel2, state_size));
    } else {
      combine(own, plan.chunks, state_size, op.causal, false);
    }
  };
  const auto attend_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks, head_index = task / plan.chunks;
    const Head head = plan.head(head_index);
    // Causal: this chunk's own copy of the sums before it, which its tiles move on.
    float* state = states + (op.causal ? task : head_index * plan.chunks) * state_size;
    const float* z = state + m * vr;
    float* queries = scratch_of(Scratch::kernel2, TILE * (2 * fr + 2 * vr + TILE) + fr * TILE + 2 * TILE);
    float* keys = queries + TILE * fr;
    float* values = keys + TILE * fr;
    float* result = values + TILE * vr;
    float* scores = result + TILE * vr;
    float* keys_t = scores + TILE * TILE;
    float* logs = keys_t + fr * TILE;
    float* factors = logs + TILE;
    float before[TILE] = {};  // WEIGHTED: what the sums of earlier tiles count for each query
    float peak = NO_PEAK;
    if constexpr (Features::WEIGHTED) peak = peaks_before[task];
    float* out = op.out + plan.offset(head_index);
    float* denominators = op.denominators + head_index * length;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.q + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(out + begin * plan.width(), plan.width(), rows, plan.size);
      features.of_queries(queries, nullptr, head.q + begin * head.stride, head.stride, rows);
      tile_product(result, vr, queries, fr, 1, state, vr, rows, vr, m, false);
      float* peaks = nullptr;
      const float peak_before = peak;
      if (op.causal) {
        features.of_keys(keys, nullptr, logs, head.k + begin * head.stride, head.stride, rows, head.keep + begin,
                         head_index);
        copy_tile(values, vr, head.v + begin * head.stride, head.stride, rows, plan.size);
        transpose_tile(keys_t, TILE, keys, fr, rows, m);
        tile_product(scores, TILE, queries, fr, 1, keys_t, TILE, rows, TILE, m, false);
        if constexpr (Features::WEIGHTED) {
          peaks = features.peaks(head_index) + begin;
          for (size_t r = 0; r < rows; r++) {
            peaks[r] = peak = std::max(peak, logs[r]);
            before[r] = exp_of(peak_before - peak);
            scale_by(result + r * vr, before[r], vr);
          }
          weigh_scores(scores, logs, peaks, factors, rows);
        }
        hide_future(scores, rows);
        tile_product(result, vr, scores, TILE, 1, values, vr, rows, vr, rows, true);
      }
      for (size_t r = 0; r < rows; r++) {
        Vec total = zero();
        for (size_t i = 0; i < fr; i += LANES) total += load(queries + r * fr + i) * load(z + i);
        if constexpr (Features::WEIGHTED) total = total * before[r];
        if (op.causal)
          for (size_t i = 0; i < TILE; i += LANES) total += load(scores + r * TILE + i);
        const float denominator = sum(total);
        denominators[begin + r] = denominator;
        plan.put_row(out + (begin + r) * plan.width(), result + r * vr, reciprocal_or_zero(denominator));
      }
      if constexpr (Features::WEIGHTED) {
        if (peak != peak_before) scale_by(state, exp_of(peak_before - peak), state_size);
        weights_of(factors, logs, peak, rows);
        for (size_t r = 0; r < rows; r++) scale_by(keys + r * fr, factors[r], fr);
      }
      if (op.causal) add_keys(state, keys, values, rows);
    }
  };
  plan.run_phases(first..., sum_chunk, combine_chunks, attend_chunk);
}

// With v' = [v, 1] and the gradients of numerator and denominator side by side, n' = [dy, -dy · out] / denominator:
// dφ(q) = n' S'ᵀ, dφ(k) = v' dS'ᵀ and dv = φ(k) dS, where S'ᵀ = v'ᵀ φ(k) and dS'ᵀ = n'ᵀ φ(q), both [size + 1, features].
// `after`: phases that run last, a function of heads first.
template <typename Features, typename... After>
INLINE void attend_grad(const FavorBackward& op, const Plan& plan, const Features& features, After&&... after) {
  const size_t m = plan.features, fr = plan.feature_row, vr = plan.value_row, length = plan.length;
  const size_t columns = plan.size + 1, cr = padded(columns);
  const size_t state_size = columns * fr;
  const size_t count = plan.heads * plan.chunks;
  float* states = scratch_of(Scratch::kernel, 2 * count * state_size + 1 + 2 * count);
  float* gradients = states + count * state_size;
  // WEIGHTED: the largest logarithm of each chunk, and of all before it.
  float* chunk_peaks = gradients + count * state_size;
  float* peaks_before = chunk_peaks + count;
  const auto peak_before_token = [&](size_t head, size_t position) ISA_LAMBDA {
    if constexpr (Features::WEIGHTED) return position == 0 ? NO_PEAK : features.peaks(head)[position - 1];
    return 0.0f;
  };

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
    float* phi = scratch_of(Scratch::kernel2, TILE * (fr + cr + 2));
    float* values = phi + TILE * fr;
    float* logs = values + TILE * cr;
    float* factors = logs + TILE;
    const float before = peak_before_token(head_index, chunk * plan.chunk);
    float peak = NO_PEAK;
    const size_t end = std::min(length, (chunk + 1) * plan.chunk);
    for (size_t begin = chunk * plan.chunk; begin < end; begin += TILE) {
      const size_t rows = std::min(TILE, end - begin);
      prefetch_rows(head.k + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.v + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(head.q + begin * head.stride, head.stride, rows, plan.size);
      prefetch_rows(op.dy + plan.offset(head_index) + begin * plan.width(), plan.width(), rows, plan.size);
      prefetch_rows(op.out + plan.offset(head_index) + begin * plan.width(), plan.width(), rows, plan.size);
      features.of_keys(phi, nullptr, logs, head.k + begin * head.stride, head.stride, rows, head.keep + begin,
                       head_index);
      make_values(values, head, begin, rows);
      if constexpr (Features::WEIGHTED) {
        const float higher = *std::max_element(logs, logs + rows);
        if (higher > peak) {
          scale_by(state, exp_of(peak - higher), state_size);
          peak = higher;
        }
        weights_of(factors, logs, peak, rows);
        for (size_t r = 0; r < rows; r++) scale_by(values + r * cr, factors[r], cr);
      }
      tile_product(state, fr, values, 1, cr, phi, fr, columns, fr, rows, true);
      features.of_queries(phi, nullptr, head.q + begin * head.stride, head.stride, rows);
      make_numerators(values, head_index, begin, rows);
      if constexpr (Features::WEIGHTED) {
        const float* peaks = features.peaks(head_index) + begin;
        for (size_t r = 0; r < rows; r++) scale_by(values + r * cr, exp_of(before - peaks[r]), cr);
      }
      tile_product(gradient, fr, values, 1, cr, phi, fr, columns, fr, rows, true);
    }
    if constexpr (Features::WEIGHTED) {
      chunk_peaks[task] = peak;
      peaks_before[task] = before;
    }
  };
  // Gradients are relative to the maximum before their own chunk; those of later chunks to the one at a chunk's end.
  const auto combine_chunks = [&](size_t head) ISA_LAMBDA {
    float *const own = states + head * plan.chunks * state_size, *const later = gradients + (own - states);
    if constexpr (Features::WEIGHTED) {
      const float *chunk_peak = chunk_peaks + head * plan.chunks, *before = peaks_before + head * plan.chunks;
      float* room = scratch_of(Scratch::kernel2, state_size + plan.chunks);
      float* ends = room + state_size;
      for (size_t chunk = 0; chunk < plan.chunks; chunk++)
        ends[chunk] = peak_before_token(head, std::min(length, (chunk + 1) * plan.chunk));
      combine_weighted(own, chunk_peak, before, plan.chunks, state_size, false, room);
      combine_weighted(later, before, ends, plan.chunks, state_size, true, room);
    } else {
      combine(own, plan.chunks, state_size, op.causal, false);
      combine(later, plan.chunks, state_size, op.causal, true);
    }
  };
  const auto differentiate_chunk = [&](size_t task) ISA_LAMBDA {
    const size_t chunk = task % plan.chunks, head_index = task / plan.chunks;
    const Head head = plan.head(head_index);
    const size_t slot = (op.causal ? task : head_index * plan.chunks) * state_size;
    float *state = states + slot, *gradient = gradients + slot;
    float* queries = scratch_of(Scratch::kernel2, TILE * (2 * fr + std::max(fr, vr) + 2 * cr + vr + 2 * TILE) +
                                                      (fr + cr) * TILE + m * vr + 2 * features.extra() + 2 * TILE);
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
    float* query_extra = gradient_t + m * vr;
    float* key_extra = query_extra + features.extra();
    float* logs = key_extra + features.extra();
    float* factors = logs + TILE;
    float* dq = op.dqkv + plan.qkv_offset(head_index);
    float *dk = dq + plan.width(), *dv = dk + plan.width();
    const size_t first = chunk * plan.chunk, end = std::min(length, first + plan.chunk);
    const auto load_tile = [&](size_t begin, size_t rows) ISA_LAMBDA {
      features.of_queries(queries, query_extra, head.q + begin * head.stride, head.stride, rows);
      features.of_keys(keys, key_extra, logs, head.k + begin * head.stride, head.stride, rows, head.keep + begin,
                       head_index);
      make_values(values, head, begin, rows);
      make_numerators(numerators, head_index, begin, rows);
    };
    // dscores = n' v'ᵀ for the keys up to the query.
    const auto make_dscores = [&](size_t begin, size_t rows) ISA_LAMBDA {
      transpose_tile(values_t, TILE, values, cr, rows, columns);
      tile_product(dscores, TILE, numerators, cr, 1, values_t, TILE, rows, TILE, columns, false);
      if constexpr (Features::WEIGHTED)
        weigh_scores(dscores, logs, features.peaks(head_index) + begin, factors, rows);
      hide_future(dscores, rows);
    };
    const auto store_dq = [&](size_t begin, size_t rows) ISA_LAMBDA {
      tile_product(dphi, fr, numerators, cr, 1, state, fr, rows, fr, columns, false);
      if constexpr (Features::WEIGHTED) {
        const float before = peak_before_token(head_index, begin);
        const float* peaks = features.peaks(head_index) + begin;
        for (size_t r = 0; r < rows; r++) scale_by(dphi + r * fr, exp_of(before - peaks[r]), fr);
      }
      if (op.causal) tile_product(dphi, fr, dscores, TILE, 1, keys, fr, rows, fr, rows, true);
      features.queries_grad(dq + begin * head.stride, head.q + begin * head.stride, head.stride, dphi, queries,
                            query_extra, room, rows);
    };
    const auto store_dk_dv = [&](size_t begin, size_t rows) ISA_LAMBDA {
      tile_product(dphi, fr, values, cr, 1, gradient, fr, rows, fr, columns, false);
      if constexpr (Features::WEIGHTED) {
        weights_of(factors, logs, peak_before_token(head_index, begin + rows), rows);
        for (size_t r = 0; r < rows; r++) scale_by(dphi + r * fr, factors[r], fr);
      }
      if (op.causal) tile_product(dphi, fr, dscores, 1, TILE, queries, fr, rows, fr, rows, true);
      features.keys_grad(dk + begin * head.stride, head.k + begin * head.stride, head.stride, dphi, keys, key_extra,
                         room, rows, task);
      tile_product(room, vr, keys, fr, 1, gradient_t, vr, rows, vr, m, false);
      if constexpr (Features::WEIGHTED)
        for (size_t r = 0; r < rows; r++) scale_by(room + r * vr, factors[r], vr);
      if (op.causal) {
        transpose_tile(keys_t, TILE, keys, fr, rows, m);
        tile_product(scores, TILE, queries, fr, 1, keys_t, TILE, rows, TILE, m, false);
        if constexpr (Features::WEIGHTED)
          weigh_scores(scores, logs, features.peaks(head_index) + begin, factors, rows);
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
      make_dscores(begin, rows);
      store_dq(begin, rows);
      if constexpr (Features::WEIGHTED) {
        const float before = peak_before_token(head_index, begin);
        const float peak = peak_before_token(head_index, begin + rows);
        if (peak != before) scale_by(state, exp_of(before - peak), state_size);
        weights_of(factors, logs, peak, rows);
        for (size_t r = 0; r < rows; r++) scale_by(values + r * cr, factors[r], cr);
      }
      tile_product(state, fr, values, 1, cr, keys, fr, columns, fr, rows, true);
    }
    for (size_t begin = first + (end - first - 1) / TILE * TILE;; begin -= TILE) {
      const size_t rows = std::min(TILE, end - begin);
      load_tile(begin, rows);
      make_dscores(begin, rows);
      transpose_tile(gradient_t, vr, gradient, fr, plan.size, m);
      store_dk_dv(begin, rows);
      if constexpr (Features::WEIGHTED) {
        const float before = peak_before_token(head_index, begin);
        const float* peaks = features.peaks(head_index) + begin;
        const float peak = peaks[rows - 1];
        if (peak != before) scale_by(gradient, exp_of(before - peak), state_size);
        for (size_t r = 0; r < rows; r++) scale_by(numerators + r * cr, exp_of(before - peaks[r]), cr);
      }
      tile_product(gradient, fr, numerators, 1, cr, queries, fr, columns, fr, rows, true);
      if (begin == first) break;
    }
  };
  plan.run_phases(sum_chunk, combine_chunks, differentiate_chunk, after...);
}

}  // namespace favor_detail

}  // namespace ISA
}  // namespace protein_lm
