// Reformer's attention (Kitaev et al. 2020, section 2) in tiles. Every round sorts a head's tokens by bucket and position;
// each chunk of the sorted tokens attends to itself and to the chunk before. Rounds are combined by their normalisers,
// which is one softmax over all rounds' scores: every round goes on where the one before stopped, in place. Keys are
// queries of length one. Padding is sorted last and takes no part: its rows of the results are zero.

namespace protein_lm {
namespace ISA {

namespace lsh_detail {

constexpr size_t QUERIES = 64;   // rows of a tile of scores,
constexpr size_t KEYS = 128;     // its columns, at most: whole vectors
constexpr size_t TOKENS = 64;    // hashed at a time
constexpr size_t PLACES = 1024;  // of the sorted order that one task takes
// A token's score with itself, which counts where it sees no other, as the definition has it.
constexpr float OWN = -1e5f;
// Below the smallest score that float32 tells from zero after exp, next to any other.
constexpr float HIDDEN = -1e30f;

struct Plan {
  const LshAttention& op;
  size_t length, size, width, row, heads;
  size_t chunk, chunks;  // tokens of a chunk, chunks of a sequence without padding
  size_t block, blocks;  // chunks of a task, tasks of a round
  int32_t* kept;         // [batch] tokens that are no padding
  float* norms;          // [heads, length] reciprocal lengths of queries

  Plan(const LshAttention& attention, float* memory)
      : op(attention),
        length(op.shape.length),
        size(op.shape.size),
        width(op.shape.heads * op.shape.size),
        row(padded(op.shape.size)),
        heads(op.shape.batch * op.shape.heads),
        chunk(std::max<size_t>(1, std::min(op.chunk_length, length))),
        chunks((length + chunk - 1) / chunk),
        block(std::max<size_t>(1, PLACES / chunk)),
        blocks((chunks + block - 1) / block),
        kept(reinterpret_cast<int32_t*>(memory + heads * length)),
        norms(memory) {
    for (size_t b = 0; b < op.shape.batch; b++) {
      kept[b] = 0;
      for (size_t l = 0; l < length; l++) kept[b] += op.keep[b * length + l] != 0;
    }
    parallel_for(heads, [&](size_t head) ISA_LAMBDA {
      const float* q = op.qkv + offset(head, 3);
      for (size_t l = 0; l < length; l++) {
        const float* x = q + l * 3 * width;
        norms[head * length + l] = 1 / std::sqrt(dot(x, x) + 1e-12f);
      }
    });
  }

  // Floats of memory that a plan needs.
  static size_t room(const LshAttention& op) {
    return op.shape.batch * op.shape.heads * op.shape.length + op.shape.batch + 1;
  }

  INLINE size_t offset(size_t head, size_t parts) const {
    return head / op.shape.heads * length * parts * width + head % op.shape.heads * size;
  }
  INLINE size_t kept_of(size_t head) const { return static_cast<size_t>(kept[head / op.shape.heads]); }

  INLINE float dot(const float* a, const float* b) const {
    Vec total = zero();
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) total += load(a + i) * load(b + i);
    if (i < size) total += load_partial(a + i, size - i) * load_partial(b + i, size - i);
    return sum(total);
  }

  // tile [count, row] = rows of a head at `positions`, zeros at their ends.
  INLINE void gather(float* tile, const float* source, size_t stride, const int32_t* positions, size_t count) const {
    for (size_t r = 0; r < count; r++) copy_tile(tile + r * row, row, source + positions[r] * stride, stride, 1, size);
  }

  // target [size] = source * factor, and target += source.
  INLINE void put_row(float* target, const float* source, float factor) const {
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(target + i, load(source + i) * factor);
    if (i < size) store_partial(target + i, load(source + i) * factor, size - i);
  }
  INLINE void add_row(float* target, const float* source) const {
    size_t i = 0;
    for (; i + LANES <= size; i += LANES) store(target + i, load(target + i) + load(source + i));
    if (i < size) store_partial(target + i, load_partial(target + i, size - i) + load(source + i), size - i);
  }

  // visit(head, round, chunk) for all of them, the rounds of a head in order. A chunk writes rows of its own tokens and
  // of the chunk before: so of a long head's blocks, every other one runs at a time.
  template <typename Visit>
  INLINE void for_chunks(Visit&& visit) const {
    if (blocks == 1) {
      parallel_for(heads, [&](size_t head) ISA_LAMBDA {
        for (size_t round = 0; round < op.hashes; round++)
          for (size_t c = 0; c < chunks; c++) visit(head, round, c);
      });
      return;
    }
    for (size_t round = 0; round < op.hashes; round++)
      for (size_t parity = 0; parity < 2; parity++) {
        const size_t count = (blocks + 1 - parity) / 2;
        parallel_for(heads * count, [&](size_t task) ISA_LAMBDA {
          const size_t first = (task % count * 2 + parity) * block;
          for (size_t c = first; c < std::min(chunks, first + block); c++) visit(task / count, round, c);
        });
      }
  }
};

// Sorts one head's positions for one round by bucket, then position; padding last. A sequence has as many buckets as
// chunks, up to what the rotation allows; a bucket is the first largest of [xR; -xR].
INLINE void sort_by_bucket(const Plan& plan, size_t head, size_t round, int32_t* order) {
  const LshAttentionForward& op = static_cast<const LshAttentionForward&>(plan.op);
  const size_t length = plan.length, size = plan.size, stride = 3 * plan.width;
  const size_t own_chunks = (plan.kept_of(head) + op.chunk_length - 1) / op.chunk_length;
  const size_t columns = std::min((own_chunks + 1) / 2, op.rotations_per_hash);
  const float* keep = op.keep + head / op.shape.heads * length;
  float* memory = scratch_of(Scratch::kernel2, (columns + size) * TOKENS + 2 * columns + round_up(length, TOKENS) + 1);
  float* rotated = memory;                    // [columns, TOKENS]
  float* tokens = rotated + columns * TOKENS;  // [size, TOKENS]
  int32_t* buckets = reinterpret_cast<int32_t*>(tokens + size * TOKENS);
  int32_t* starts = buckets + round_up(length, TOKENS);  // of the buckets in the order
  if (own_chunks <= 1) {
    std::memset(buckets, 0, length * sizeof(int32_t));
  } else {
    const float* q = op.qkv + plan.offset(head, 3);
    const float* rotation = op.rotations + round * op.rotations_per_hash * size;
    for (size_t begin = 0; begin < length; begin += TOKENS) {
      transpose_tile(tokens, TOKENS, q + begin * stride, stride, std::min(TOKENS, length - begin), size);
      tile_product(rotated, TOKENS, rotation, size, 1, tokens, TOKENS, columns, TOKENS, size, false);
      for (size_t i = 0; i < TOKENS; i += LANES) {
        Vec best = load(rotated + i);
        IVec bucket = broadcast_int(0);
        const auto take = [&](Vec value, size_t index) ISA_LAMBDA {
          const IVec larger = value > best;
          best = select(larger, value, best);
          bucket = (larger & broadcast_int(static_cast<int32_t>(index))) | (~larger & bucket);
        };
        for (size_t j = 1; j < columns; j++) take(load(rotated + j * TOKENS + i), j);
        for (size_t j = 0; j < columns; j++) take(-load(rotated + j * TOKENS + i), columns + j);
        std::memcpy(buckets + begin + i, &bucket, sizeof bucket);
      }
    }
  }
  std::memset(starts, 0, 2 * columns * sizeof(int32_t));
  for (size_t l = 0; l < length; l++)
    if (keep[l] != 0) starts[buckets[l]]++;
  int32_t place = 0;
  for (size_t b = 0; b < 2 * columns; b++) {
    const int32_t count = starts[b];
    starts[b] = place;
    place += count;
  }
  for (size_t l = 0; l < length; l++) order[keep[l] != 0 ? starts[buckets[l]]++ : place++] = static_cast<int32_t>(l);
}

// Keys of a tile: their positions, and what scores are multiplied by and have added: zeros and HIDDEN past the keys.
struct Keys {
  size_t count, columns;  // columns: count filled up to whole vectors
  int32_t positions[KEYS];
  float norms[KEYS], hidden[KEYS];

  INLINE Keys(const Plan& plan, size_t head, const int32_t* order, size_t keys) : count(keys), columns(padded(keys)) {
    for (size_t j = 0; j < columns; j++) {
      positions[j] = j < count ? order[j] : 0;
      norms[j] = j < count ? plan.norms[head * plan.length + order[j]] : 0;
      hidden[j] = j < count ? 0 : HIDDEN;
    }
  }
};

// scores [rows, columns] of queries [rows, row] with keys_t [size, columns]. `own` is where the first query is among the
// keys, which may be before them or past them.
INLINE void make_scores(const Plan& plan, float* scores, const float* queries, const int32_t* positions, size_t rows,
                        const float* keys_t, const Keys& keys, ptrdiff_t own) {
  const size_t columns = keys.columns;
  tile_product(scores, columns, queries, plan.row, 1, keys_t, columns, rows, columns, plan.size, false);
  for (size_t r = 0; r < rows; r++) {
    float* line = scores + r * columns;
    const IVec position = broadcast_int(positions[r]);
    for (size_t j = 0; j < columns; j += LANES) {
      Vec score = load(line + j) * load(keys.norms + j) + load(keys.hidden + j);
      if (plan.op.causal) {
        IVec others;
        std::memcpy(&others, keys.positions + j, sizeof others);
        score = select(others > position, broadcast(HIDDEN), score);
      }
      store(line + j, score);
    }
  }
  for (size_t r = 0; r < rows; r++) {
    const ptrdiff_t j = own + static_cast<ptrdiff_t>(r);
    if (j >= 0 && j < static_cast<ptrdiff_t>(keys.count)) scores[r * columns + j] = OWN;
  }
}

// A chunk's tokens in the sorted order, and the first key that they see.
struct Chunk {
  size_t begin, end, first_key;

  INLINE Chunk(const Plan& plan, size_t head, size_t c)
      : begin(c * plan.chunk),
        end(std::min(plan.kept_of(head), begin + plan.chunk)),
        first_key(c == 0 ? 0 : begin - plan.chunk) {}
};

}  // namespace lsh_detail

void lsh_attention(const LshAttentionForward& op) {
  using namespace lsh_detail;
  const Plan plan(op, scratch_of(Scratch::kernel, Plan::room(op)));
  const size_t length = plan.length, stride = 3 * plan.width, row = plan.row;
  parallel_for(plan.heads * op.hashes, [&](size_t task) ISA_LAMBDA {
    sort_by_bucket(plan, task / op.hashes, task % op.hashes, op.order + task * length);
  });
  parallel_for(op.shape.batch, [&](size_t b) ISA_LAMBDA {
    for (size_t l = 0; l < length; l++) {
      if (op.keep[b * length + l] != 0) continue;
      std::memset(op.out + (b * length + l) * plan.width, 0, plan.width * sizeof(float));
      for (size_t h = 0; h < op.shape.heads; h++) {
        const size_t place = (b * op.shape.heads + h) * length + l;
        op.peaks[place] = op.totals[place] = 0;
      }
    }
  });

  plan.for_chunks([&](size_t head, size_t round, size_t c) ISA_LAMBDA {
    const Chunk chunk(plan, head, c);
    const int32_t* order = op.order + (head * op.hashes + round) * length;
    const float *q = op.qkv + plan.offset(head, 3), *v = q + 2 * plan.width;
    float *out = op.out + plan.offset(head, 1), *peaks = op.peaks + head * length, *totals = op.totals + head * length;
    float* queries = scratch_of(Scratch::kernel2, 2 * QUERIES * row + QUERIES * KEYS + 3 * KEYS * row);
    float* result = queries + QUERIES * row;
    float* scores = result + QUERIES * row;
    float* rows_of_keys = scores + QUERIES * KEYS;
    float* keys_t = rows_of_keys + KEYS * row;
    float* values = keys_t + KEYS * row;
    float largest[QUERIES], total[QUERIES];
    for (size_t begin = chunk.begin; begin < chunk.end; begin += QUERIES) {
      const size_t rows = std::min(QUERIES, chunk.end - begin);
      const int32_t* positions = order + begin;
      plan.gather(queries, q, stride, positions, rows);
      if (round == 0) {
        std::memset(result, 0, rows * row * sizeof(float));
      } else {
        plan.gather(result, out, plan.width, positions, rows);
      }
      for (size_t r = 0; r < rows; r++) {
        largest[r] = round == 0 ? HIDDEN : peaks[positions[r]];
        total[r] = round == 0 ? 0 : totals[positions[r]];
      }
      for (size_t key = chunk.first_key; key < chunk.end; key += KEYS) {
        const Keys keys(plan, head, order + key, std::min(KEYS, chunk.end - key));
        const size_t columns = keys.columns;
        plan.gather(rows_of_keys, q, stride, keys.positions, keys.count);
        transpose_tile(keys_t, columns, rows_of_keys, row, keys.count, plan.size);
        plan.gather(values, v, stride, keys.positions, keys.count);
        make_scores(plan, scores, queries, positions, rows, keys_t, keys,
                    static_cast<ptrdiff_t>(begin) - static_cast<ptrdiff_t>(key));
        for (size_t r = 0; r < rows; r++) {
          float* line = scores + r * columns;
          Vec top = load(line);
          for (size_t j = LANES; j < columns; j += LANES) top = max(top, load(line + j));
          const float now = std::max(largest[r], max_lane(top));
          if (now == HIDDEN) {
            std::memset(line, 0, columns * sizeof(float));
            continue;
          }
          Vec added = zero();
          for (size_t j = 0; j < columns; j += LANES) {
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
        tile_product(result, row, scores, columns, 1, values, row, rows, row, keys.count, true);
      }
      const bool last = round + 1 == op.hashes;
      for (size_t r = 0; r < rows; r++) {
        const int32_t position = positions[r];
        plan.put_row(out + position * plan.width, result + r * row, last ? 1 / total[r] : 1);
        peaks[position] = largest[r];
        totals[position] = total[r];
      }
    }
  });
}

// With p = exp(s - peak) / total over all rounds, s = q kᵀ and k = q / |q|: dv = pᵀ dy and ds = p (dy vᵀ - dy · out), zero
// for a token itself; dq = ds k + (1 - k kᵀ) dk / |q|, where dk = dsᵀ q.
void lsh_attention_grad(const LshAttentionBackward& op) {
  using namespace lsh_detail;
  const size_t heads = op.shape.batch * op.shape.heads;
  float* products = scratch_of(Scratch::kernel, Plan::room(op) + heads * op.shape.length);  // dy · out
  const Plan plan(op, products + heads * op.shape.length);
  const size_t length = plan.length, width = plan.width, stride = 3 * width, row = plan.row;
  parallel_for(heads, [&](size_t head) ISA_LAMBDA {
    const size_t first = plan.offset(head, 1);
    for (size_t l = 0; l < length; l++)
      products[head * length + l] = plan.dot(op.dy + first + l * width, op.out + first + l * width);
  });
  parallel_ranges(op.shape.batch * length, 256, [&](size_t begin, size_t end) ISA_LAMBDA {
    std::memset(op.dqkv + begin * stride, 0, (end - begin) * stride * sizeof(float));
  });

  // The keys' place in dqkv collects dk / |q| until all rounds are done.
  plan.for_chunks([&](size_t head, size_t round, size_t c) ISA_LAMBDA {
    const Chunk chunk(plan, head, c);
    const int32_t* order = op.order + (head * op.hashes + round) * length;
    const float *q = op.qkv + plan.offset(head, 3), *v = q + 2 * width, *dy = op.dy + plan.offset(head, 1);
    float *dq = op.dqkv + plan.offset(head, 3), *dk = dq + width, *dv = dk + width;
    float* queries = scratch_of(Scratch::kernel2, 3 * QUERIES * row + 2 * QUERIES * KEYS + 5 * KEYS * row);
    float* dout = queries + QUERIES * row;
    float* dqueries = dout + QUERIES * row;
    float* scores = dqueries + QUERIES * row;
    float* dscores = scores + QUERIES * KEYS;
    float* rows_of_keys = dscores + QUERIES * KEYS;
    float* keys_t = rows_of_keys + KEYS * row;
    float* values = keys_t + KEYS * row;
    float* values_t = values + KEYS * row;
    float* gradients = values_t + KEYS * row;
    for (size_t begin = chunk.begin; begin < chunk.end; begin += QUERIES) {
      const size_t rows = std::min(QUERIES, chunk.end - begin);
      const int32_t* positions = order + begin;
      plan.gather(queries, q, stride, positions, rows);
      plan.gather(dout, dy, width, positions, rows);
      std::memset(dqueries, 0, rows * row * sizeof(float));
      for (size_t key = chunk.first_key; key < chunk.end; key += KEYS) {
        const Keys keys(plan, head, order + key, std::min(KEYS, chunk.end - key));
        const size_t columns = keys.columns;
        const ptrdiff_t own = static_cast<ptrdiff_t>(begin) - static_cast<ptrdiff_t>(key);
        plan.gather(rows_of_keys, q, stride, keys.positions, keys.count);
        transpose_tile(keys_t, columns, rows_of_keys, row, keys.count, plan.size);
        plan.gather(values, v, stride, keys.positions, keys.count);
        transpose_tile(values_t, columns, values, row, keys.count, plan.size);
        make_scores(plan, scores, queries, positions, rows, keys_t, keys, own);
        tile_product(dscores, columns, dout, row, 1, values_t, columns, rows, columns, plan.size, false);
        for (size_t r = 0; r < rows; r++) {
          const size_t place = head * length + static_cast<size_t>(positions[r]);
          const float peak = op.peaks[place], scale = 1 / op.totals[place], product = products[place];
          for (size_t j = 0; j < columns; j += LANES) {
            float *s = scores + r * columns + j, *ds = dscores + r * columns + j;
            const Vec p = exp(load(s) - peak) * scale;
            store(s, p);
            store(ds, p * (load(ds) - product) * load(keys.norms + j));
          }
        }
        for (size_t r = 0; r < rows; r++) {
          const ptrdiff_t j = own + static_cast<ptrdiff_t>(r);
          if (j >= 0 && j < static_cast<ptrdiff_t>(keys.count)) dscores[r * columns + j] = 0;
        }
        tile_product(dqueries, row, dscores, columns, 1, rows_of_keys, row, rows, row, keys.count, true);
        tile_product(gradients, row, dscores, 1, columns, queries, row, keys.count, row, rows, false);
        for (size_t j = 0; j < keys.count; j++) plan.add_row(dk + keys.positions[j] * stride, gradients + j * row);
        tile_product(gradients, row, scores, 1, columns, dout, row, keys.count, row, rows, false);
        for (size_t j = 0; j < keys.count; j++) plan.add_row(dv + keys.positions[j] * stride, gradients + j * row);
      }
      for (size_t r = 0; r < rows; r++) plan.add_row(dq + positions[r] * stride, dqueries + r * row);
    }
  });

  parallel_for(heads, [&](size_t head) ISA_LAMBDA {
    const float* q = op.qkv + plan.offset(head, 3);
    float* dq = op.dqkv + plan.offset(head, 3);
    float* room = scratch_of(Scratch::kernel2, 2 * row);
    for (size_t l = 0; l < length; l++) {
      float *target = dq + l * stride, *dk = target + width;
      copy_tile(room, row, q + l * stride, stride, 1, plan.size);
      copy_tile(room + row, row, dk, stride, 1, plan.size);
      const float norm = plan.norms[head * length + l];
      const float along = plan.dot(room, room + row) * norm * norm;
      for (size_t i = 0; i < row; i += LANES) store(room + row + i, load(room + row + i) - load(room + i) * along);
      plan.add_row(target, room + row);
      std::memset(dk, 0, plan.size * sizeof(float));
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
