// Exact attention in tiles: scores exist for one tile of queries and keys at a time (Dao et al. 2022), normalised as
// they come; the gradient forms them again from the logarithm of their sum.

namespace protein_lm {
namespace ISA {

namespace softmax_detail {

constexpr size_t QUERIES = 96;  // rows of a tile of scores
constexpr size_t KEYS = 64;     // its columns: whole vectors
// Below the smallest score that float32 tells from zero after exp, next to any other.
constexpr float HIDDEN = -1e30f;

struct Plan {
  const SoftmaxAttention& op;
  size_t length, size, width, row;
  float scale;

  explicit Plan(const SoftmaxAttention& attention)
      : op(attention),
        length(op.shape.length),
        size(op.shape.size),
        width(op.shape.heads * op.shape.size),
        row(padded(op.shape.size)),
        scale(static_cast<float>(1 / std::sqrt(static_cast<double>(op.shape.size)))) {}

  INLINE size_t offset(size_t head, size_t parts) const {
    return head / op.shape.heads * length * parts * width + head % op.shape.heads * size;
  }
  INLINE const float* keep(size_t head) const { return op.keep + head / op.shape.heads * length; }

  // scores [queries, KEYS] for keys from `first_key`, hidden ones at HIDDEN. queries [rows, row], scaled;
  // keys_t [size, KEYS].
  INLINE void make_scores(float* scores, const float* queries, const float* keys_t, size_t first_query, size_t rows,
                          size_t first_key, size_t columns, const float* keep_row) const {
    tile_product(scores, KEYS, queries, row, 1, keys_t, KEYS, rows, KEYS, size, false);
    float hidden[KEYS];
    for (size_t j = 0; j < KEYS; j++) hidden[j] = j < columns && keep_row[first_key + j] != 0 ? 0 : HIDDEN;
    const bool past = op.causal && first_key + columns > first_query + 1;
    for (size_t r = 0; r < rows; r++) {
      float* line = scores + r * KEYS;
      for (size_t j = 0; j < KEYS; j += LANES) {
        const Vec mark = load(hidden + j);
        store(line + j, select(mark < zero(), mark, load(line + j)));
      }
      if (past)
        for (size_t j = 0; j < columns; j++)
          if (first_key + j > first_query + r) line[j] = HIDDEN;
    }
  }

  // tile [rows, row] = source * factor, zeros at the ends of rows.
  INLINE void scaled_tile(float* tile, const float* source, size_t stride, size_t rows, float factor) const {
    copy_tile(tile, row, source, stride, rows, size);
    for (size_t i = 0; i < rows * row; i += LANES) store(tile + i, load(tile + i) * factor);
  }

  INLINE void put_row(float* target, const float* source, float factor) const {
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(target + i, load(source + i) * factor);
    if (i < size) store_partial(target + i, load(source + i) * factor, size - i);
  }
};

INLINE size_t tiles(size_t n, size_t tile) { return (n + tile - 1) / tile; }

}  // namespace softmax_detail

void softmax_attention(const SoftmaxAttentionForward& op) {
  using namespace softmax_detail;
  const Plan plan(op);
  const size_t length = plan.length, stride = 3 * plan.width, row = plan.row;
  const size_t blocks = tiles(length, QUERIES);
  parallel_for(op.shape.batch * op.shape.heads * blocks, [&](size_t task) ISA_LAMBDA {
    const size_t head = task / blocks, first_query = task % blocks * QUERIES;
    const size_t rows = std::min(QUERIES, length - first_query);
    float* queries = scratch_of(Scratch::kernel2, 2 * QUERIES * row + QUERIES * KEYS + KEYS * row + plan.size * KEYS);
    float* result = queries + QUERIES * row;
    float* scores = result + QUERIES * row;
    float* values = scores + QUERIES * KEYS;
    float* keys_t = values + KEYS * row;
    float largest[QUERIES], total[QUERIES];
    const float* q = op.qkv + plan.offset(head, 3);
    const float *k = q + plan.width, *v = k + plan.width, *keep = plan.keep(head);
    plan.scaled_tile(queries, q + first_query * stride, stride, rows, plan.scale);
    std::memset(result, 0, rows * row * sizeof(float));
    for (size_t r = 0; r < rows; r++) largest[r] = HIDDEN, total[r] = 0;

    const size_t key_end = op.causal ? first_query + rows : length;
    for (size_t first_key = 0; first_key < key_end; first_key += KEYS) {
      const size_t columns = std::min(KEYS, key_end - first_key);
      transpose_tile(keys_t, KEYS, k + first_key * stride, stride, columns, plan.size);
      copy_tile(values, row, v + first_key * stride, stride, columns, plan.size);
      plan.make_scores(scores, queries, keys_t, first_query, rows, first_key, columns, keep);
      for (size_t r = 0; r < rows; r++) {
        float* line = scores + r * KEYS;
        Vec top = load(line);
        for (size_t j = LANES; j < KEYS; j += LANES) top = max(top, load(line + j));
        const float now = std::max(largest[r], max_lane(top));
        if (now == HIDDEN) {
          std::memset(line, 0, KEYS * sizeof(float));
          continue;
        }
        Vec added = zero();
        for (size_t j = 0; j < KEYS; j += LANES) {
          const Vec p = exp(load(line + j) - now);
          store(line + j, p);
          added += p;
        }
        if (now > largest[r]) {
          const float shrink = total[r] == 0 ? 0 : std::exp(largest[r] - now);
          total[r] *= shrink;
          for (size_t i = 0; i < row; i += LANES) store(result + r * row + i, load(result + r * row + i) * shrink);
          largest[r] = now;
        }
        total[r] += sum(added);
      }
      tile_product(result, row, scores, KEYS, 1, values, row, rows, row, columns, true);
    }
    float* out = op.out + plan.offset(head, 1);
    for (size_t r = 0; r < rows; r++) {
      const size_t place = first_query + r;
      plan.put_row(out + place * plan.width, result + r * row, total[r] == 0 ? 0 : 1 / total[r]);
      // A query that sees no key: every exp(score - logsumexp) of the gradient becomes zero.
      op.logsumexp[head * length + place] = total[r] == 0 ? -HIDDEN : largest[r] + std::log(total[r]);
    }
  });
}

// With p = softmax(s), s = q kᵀ / √d: dv = pᵀ dy, ds = p (dy vᵀ - dy · out), dq = ds k / √d, dk = dsᵀ q / √d. Queries
// and keys take one pass each, so that every task owns the rows that it writes.
void softmax_attention_grad(const SoftmaxAttentionBackward& op) {
  using namespace softmax_detail;
  const Plan plan(op);
  const size_t length = plan.length, width = plan.width, stride = 3 * width, row = plan.row;
  const size_t heads = op.shape.batch * op.shape.heads;
  float* products = scratch_of(Scratch::kernel, heads * length + 1);  // dy · out
  parallel_for(heads, [&](size_t head) ISA_LAMBDA {
    for (size_t l = 0; l < length; l++) {
      const size_t place = plan.offset(head, 1) + l * width;
      float total = 0;
      Vec sums = zero();
      size_t i = 0;
      for (; i + LANES <= plan.size; i += LANES) sums += load(op.dy + place + i) * load(op.out + place + i);
      for (; i < plan.size; i++) total += op.dy[place + i] * op.out[place + i];
      products[head * length + l] = total + sum(sums);
    }
  });

  // scores becomes p, dscores ds; both [rows, KEYS].
  const auto make_gradients = [&](float* scores, float* dscores, const float* queries, const float* keys_t,
                                  const float* dout, const float* values_t, size_t head, size_t first_query,
                                  size_t rows, size_t first_key, size_t columns) ISA_LAMBDA {
    plan.make_scores(scores, queries, keys_t, first_query, rows, first_key, columns, plan.keep(head));
    tile_product(dscores, KEYS, dout, row, 1, values_t, KEYS, rows, KEYS, plan.size, false);
    for (size_t r = 0; r < rows; r++) {
      const float logsumexp = op.logsumexp[head * length + first_query + r];
      const float product = products[head * length + first_query + r];
      for (size_t j = 0; j < KEYS; j += LANES) {
        float* s = scores + r * KEYS + j;
        float* ds = dscores + r * KEYS + j;
        const Vec p = exp(load(s) - logsumexp);
        store(s, p);
        store(ds, p * (load(ds) - product));
      }
    }
  };

  const size_t query_blocks = tiles(length, QUERIES);
  parallel_for(heads * query_blocks, [&](size_t task) ISA_LAMBDA {
    const size_t head = task / query_blocks, first_query = task % query_blocks * QUERIES;
    const size_t rows = std::min(QUERIES, length - first_query);
    float* queries =
        scratch_of(Scratch::kernel2, 3 * QUERIES * row + 2 * QUERIES * KEYS + KEYS * row + 2 * plan.size * KEYS);
    float* dout = queries + QUERIES * row;
    float* dq = dout + QUERIES * row;
    float* scores = dq + QUERIES * row;
    float* dscores = scores + QUERIES * KEYS;
    float* keys = dscores + QUERIES * KEYS;
    float* keys_t = keys + KEYS * row;
    float* values_t = keys_t + plan.size * KEYS;
    const float* q = op.qkv + plan.offset(head, 3);
    const float *k = q + width, *v = k + width;
    plan.scaled_tile(queries, q + first_query * stride, stride, rows, plan.scale);
    copy_tile(dout, row, op.dy + plan.offset(head, 1) + first_query * width, width, rows, plan.size);
    std::memset(dq, 0, rows * row * sizeof(float));
    const size_t key_end = op.causal ? first_query + rows : length;
    for (size_t first_key = 0; first_key < key_end; first_key += KEYS) {
      const size_t columns = std::min(KEYS, key_end - first_key);
      copy_tile(keys, row, k + first_key * stride, stride, columns, plan.size);
      transpose_tile(keys_t, KEYS, k + first_key * stride, stride, columns, plan.size);
      transpose_tile(values_t, KEYS, v + first_key * stride, stride, columns, plan.size);
      make_gradients(scores, dscores, queries, keys_t, dout, values_t, head, first_query, rows, first_key, columns);
      tile_product(dq, row, dscores, KEYS, 1, keys, row, rows, row, columns, true);
    }
    float* target = op.dqkv + plan.offset(head, 3) + first_query * stride;
    for (size_t r = 0; r < rows; r++) plan.put_row(target + r * stride, dq + r * row, plan.scale);
  });

  const size_t key_blocks = tiles(length, KEYS);
  parallel_for(heads * key_blocks, [&](size_t task) ISA_LAMBDA {
    const size_t head = task / key_blocks, first_key = task % key_blocks * KEYS;
    const size_t columns = std::min(KEYS, length - first_key);
    float* queries =
        scratch_of(Scratch::kernel2, 2 * QUERIES * row + 2 * QUERIES * KEYS + 2 * KEYS * row + 2 * plan.size * KEYS);
    float* dout = queries + QUERIES * row;
    float* scores = dout + QUERIES * row;
    float* dscores = scores + QUERIES * KEYS;
    float* dk = dscores + QUERIES * KEYS;
    float* dv = dk + KEYS * row;
    float* keys_t = dv + KEYS * row;
    float* values_t = keys_t + plan.size * KEYS;
    const float* q = op.qkv + plan.offset(head, 3);
    const float *k = q + width, *v = k + width;
    transpose_tile(keys_t, KEYS, k + first_key * stride, stride, columns, plan.size);
    transpose_tile(values_t, KEYS, v + first_key * stride, stride, columns, plan.size);
    std::memset(dk, 0, 2 * KEYS * row * sizeof(float));
    for (size_t first_query = op.causal ? first_key : 0; first_query < length; first_query += QUERIES) {
      const size_t rows = std::min(QUERIES, length - first_query);
      plan.scaled_tile(queries, q + first_query * stride, stride, rows, plan.scale);
      copy_tile(dout, row, op.dy + plan.offset(head, 1) + first_query * width, width, rows, plan.size);
      make_gradients(scores, dscores, queries, keys_t, dout, values_t, head, first_query, rows, first_key, columns);
      tile_product(dv, row, scores, 1, KEYS, dout, row, columns, row, rows, true);
      tile_product(dk, row, dscores, 1, KEYS, queries, row, columns, row, rows, true);
    }
    float* target = op.dqkv + plan.offset(head, 3) + first_key * stride;
    for (size_t c = 0; c < columns; c++) {
      plan.put_row(target + width + c * stride, dk + c * row, 1);
      plan.put_row(target + 2 * width + c * stride, dv + c * row, 1);
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
