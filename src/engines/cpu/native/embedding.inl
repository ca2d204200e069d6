// Token and position embeddings, and the picking of rows.

namespace protein_lm {
namespace ISA {

namespace embedding_detail {

// Columns that one task of a gradient adds up: it goes through all tokens, so that rows add up in their order.
constexpr size_t COLUMNS = 64;
constexpr double TRAINING_MASK_RATIO = 0.15 * 0.8;

// ESM-2's rescaling of a sequence's rows for the share of masks in it (EsmEmbeddings, token_dropout).
INLINE float mask_scale(const int32_t* ids, size_t length, int32_t pad, int32_t mask, bool token_dropout) {
  if (!token_dropout) return 1;
  size_t kept = 0, masked = 0;
  for (size_t i = 0; i < length; i++) {
    kept += ids[i] != pad;
    masked += ids[i] == mask;
  }
  if (kept == masked) return 0;
  return static_cast<float>((1 - TRAINING_MASK_RATIO) / (1 - static_cast<double>(masked) / static_cast<double>(kept)));
}

INLINE void add_scaled(float* target, const float* source, float scale, size_t count) {
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) store(target + i, load(target + i) + load(source + i) * scale);
  for (; i < count; i++) target[i] += source[i] * scale;
}

}  // namespace embedding_detail

void token_embedding(const TokenEmbedding& op) {
  using namespace embedding_detail;
  const size_t width = op.width;
  parallel_for(op.batch, [&](size_t sequence) ISA_LAMBDA {
    const int32_t* ids = op.ids + sequence * op.length;
    const float scale = mask_scale(ids, op.length, op.pad, op.mask, op.token_dropout);
    size_t position = static_cast<size_t>(op.pad);
    for (size_t l = 0; l < op.length; l++) {
      float* x = op.x + (sequence * op.length + l) * width;
      const int32_t id = ids[l];
      if (id == op.pad) {
        std::memset(x, 0, width * sizeof(float));
        continue;
      }
      position++;
      const float* word = op.word + static_cast<size_t>(id) * width;
      const float factor = op.token_dropout && id == op.mask ? 0 : scale;
      if (op.position == nullptr) {
        for (size_t i = 0; i < width; i++) x[i] = word[i] * factor;
      } else {
        const float* place = op.position + position * width;
        for (size_t i = 0; i < width; i++) x[i] = word[i] * factor + place[i];
      }
    }
  });
}

void token_embedding_grad(const TokenEmbeddingGrad& op) {
  using namespace embedding_detail;
  const size_t width = op.width;
  float* scales = scratch_of(Scratch::kernel, std::max<size_t>(1, op.batch));
  for (size_t b = 0; b < op.batch; b++)
    scales[b] = mask_scale(op.ids + b * op.length, op.length, op.pad, op.mask, op.token_dropout);
  parallel_ranges(width, COLUMNS, [&](size_t begin, size_t end) ISA_LAMBDA {
    const size_t count = end - begin;
    for (size_t row = 0; row < op.vocabulary; row++)
      std::memset(op.dword + row * width + begin, 0, count * sizeof(float));
    if (op.dposition != nullptr)
      for (size_t row = 0; row < op.positions; row++)
        std::memset(op.dposition + row * width + begin, 0, count * sizeof(float));
    for (size_t sequence = 0; sequence < op.batch; sequence++) {
      size_t position = static_cast<size_t>(op.pad);
      for (size_t l = 0; l < op.length; l++) {
        const size_t token = sequence * op.length + l;
        const int32_t id = op.ids[token];
        if (id == op.pad) continue;
        position++;
        const float* dy = op.dy + token * width + begin;
        if (!(op.token_dropout && id == op.mask))
          add_scaled(op.dword + static_cast<size_t>(id) * width + begin, dy, scales[sequence], count);
        if (op.dposition != nullptr) add_scaled(op.dposition + position * width + begin, dy, 1, count);
      }
    }
  });
}

void gather_rows(const GatherRows& op) {
  parallel_ranges(op.count, 32, [&](size_t begin, size_t end) ISA_LAMBDA {
    for (size_t n = begin; n < end; n++)
      std::memcpy(op.y + n * op.width, op.x + static_cast<size_t>(op.indices[n]) * op.width, op.width * sizeof(float));
  });
}

void gather_rows_grad(const GatherRowsGrad& op) {
  using namespace embedding_detail;
  parallel_ranges(op.width, COLUMNS, [&](size_t begin, size_t end) ISA_LAMBDA {
    const size_t count = end - begin;
    for (size_t row = 0; row < op.rows; row++) std::memset(op.dx + row * op.width + begin, 0, count * sizeof(float));
    for (size_t n = 0; n < op.count; n++)
      add_scaled(op.dx + static_cast<size_t>(op.indices[n]) * op.width + begin, op.dy + n * op.width + begin, 1, count);
  });
}

}  // namespace ISA
}  // namespace protein_lm
