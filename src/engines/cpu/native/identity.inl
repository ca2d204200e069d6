// Letters that rows of an alignment have in common: bytes compared a block at a time, pairs of rows given up once they
// cannot reach what either needs.

namespace protein_lm {
namespace ISA {

namespace identity_detail {

constexpr size_t TILE = 64;  // rows that are compared with as many others while they are in the cache

INLINE size_t equal_bytes(const uint8_t* a, const uint8_t* b) {
#if defined(ISA_AVX512)
  return static_cast<size_t>(
      __builtin_popcountll(_mm512_cmpeq_epi8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b))));
#elif defined(ISA_AVX2)
  uint64_t equal = 0;
  for (size_t at = 0; at < IDENTITY_BLOCK; at += 32) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + at));
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + at));
    equal = equal << 32 | static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, y)));
  }
  return static_cast<size_t>(__builtin_popcountll(equal));
#else
  typedef uint8_t Bytes __attribute__((vector_size(16), aligned(1), may_alias));
  Bytes sums{};
  for (size_t at = 0; at < IDENTITY_BLOCK; at += sizeof(Bytes))
    sums -= reinterpret_cast<Bytes>(*reinterpret_cast<const Bytes*>(a + at) == *reinterpret_cast<const Bytes*>(b + at));
  size_t count = 0;
  for (size_t lane = 0; lane < sizeof(Bytes); lane++) count += sums[lane];
  return count;
#endif
}

// The number of equal places, or less than `least` where it does not come to that.
INLINE int64_t common(const uint8_t* a, const uint8_t* b, size_t stride, int64_t least) {
  int64_t equal = 0;
  for (size_t at = 0; at < stride; at += IDENTITY_BLOCK) {
    equal += static_cast<int64_t>(equal_bytes(a + at, b + at));
    if (equal + static_cast<int64_t>(stride - at - IDENTITY_BLOCK) < least) break;
  }
  return equal;
}

}  // namespace identity_detail

void identity_counts(const IdentityCounts& op) {
  using namespace identity_detail;
  const size_t depth = op.depth, stride = op.stride;
  std::memset(op.counts, 0, depth * sizeof(int32_t));
  const size_t tiles = (depth + TILE - 1) / TILE;
  // The pairs on and below the diagonal; the tiles with most of them first.
  parallel_for(tiles, [&](size_t task) ISA_LAMBDA {
    const size_t i0 = (tiles - 1 - task) * TILE, i1 = std::min(depth, i0 + TILE);
    int32_t of_rows[TILE] = {};
    for (size_t j0 = 0; j0 <= i0; j0 += TILE) {
      int32_t of_columns[TILE] = {};
      const size_t j1 = std::min(depth, j0 + TILE);
      for (size_t i = i0; i < i1; i++) {
        for (size_t j = j0; j < std::min(j1, i + 1); j++) {
          const int64_t equal = common(op.a + i * stride, op.b + j * stride, stride, std::min(op.needed[i], op.needed[j]));
          of_rows[i - i0] += equal >= op.needed[i];
          of_columns[j - j0] += i != j && equal >= op.needed[j];
        }
      }
      for (size_t j = j0; j < j1; j++) __atomic_fetch_add(op.counts + j, of_columns[j - j0], __ATOMIC_RELAXED);
    }
    for (size_t i = i0; i < i1; i++) __atomic_fetch_add(op.counts + i, of_rows[i - i0], __ATOMIC_RELAXED);
  });
}

}  // namespace ISA
}  // namespace protein_lm
