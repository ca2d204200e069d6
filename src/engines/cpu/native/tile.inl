// Products of small matrices that lie in the first caches: the inside of attention, tile by tile.

namespace protein_lm {
namespace ISA {

// Rows of C that the register tile holds; with two vectors a row, its sums and operands fit the registers.
constexpr size_t TILE_ROWS = VECTOR_REGISTERS >= 32 ? 12 : 6;

constexpr size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }
// Length of a row of a tile: `n` floats and zeros up to a whole vector.
INLINE size_t padded(size_t n) { return round_up(n, LANES); }

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(x, y, a, b, c, d) __builtin_shufflevector(x, y, a, b, c, d)
#else
#define SHUFFLE(x, y, a, b, c, d) __builtin_shuffle(x, y, FourIndices{a, b, c, d})
#endif

namespace tile_detail {

template <size_t ROWS, size_t VECTORS>
INLINE void block(float* c, size_t ldc, const float* a, size_t row_step, size_t k_step, const float* b, size_t ldb,
                  size_t k, bool accumulate) {
  Vec sums[ROWS][VECTORS];
  for (size_t i = 0; i < ROWS; i++)
    for (size_t j = 0; j < VECTORS; j++) sums[i][j] = accumulate ? load(c + i * ldc + j * LANES) : zero();
  for (size_t p = 0; p < k; p++) {
    Vec row[VECTORS];
    for (size_t j = 0; j < VECTORS; j++) row[j] = load(b + p * ldb + j * LANES);
    for (size_t i = 0; i < ROWS; i++) {
      const Vec x = broadcast(a[i * row_step + p * k_step]);
      for (size_t j = 0; j < VECTORS; j++) sums[i][j] += x * row[j];
    }
  }
  for (size_t i = 0; i < ROWS; i++)
    for (size_t j = 0; j < VECTORS; j++) store(c + i * ldc + j * LANES, sums[i][j]);
}

template <size_t VECTORS>
INLINE void panel(float* c, size_t ldc, const float* a, size_t row_step, size_t k_step, const float* b, size_t ldb,
                  size_t m, size_t k, bool accumulate) {
  size_t i = 0;
  for (; i + TILE_ROWS <= m; i += TILE_ROWS)
    block<TILE_ROWS, VECTORS>(c + i * ldc, ldc, a + i * row_step, row_step, k_step, b, ldb, k, accumulate);
  for (; i + 4 <= m; i += 4)
    block<4, VECTORS>(c + i * ldc, ldc, a + i * row_step, row_step, k_step, b, ldb, k, accumulate);
  for (; i < m; i++)
    block<1, VECTORS>(c + i * ldc, ldc, a + i * row_step, row_step, k_step, b, ldb, k, accumulate);
}

}  // namespace tile_detail

// C [m, n] = (C +) A [m, k] B [k, n]. A's element (i, p) is a[i * row_step + p * k_step], so A may be transposed; B and C
// are tiles: n counts whole vectors.
__attribute__((noinline)) void tile_product(float* c, size_t ldc, const float* a, size_t row_step, size_t k_step,
                                            const float* b, size_t ldb, size_t m, size_t n, size_t k,
                                            bool accumulate) {
  size_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES)
    tile_detail::panel<2>(c + j, ldc, a, row_step, k_step, b + j, ldb, m, k, accumulate);
  if (j < n) tile_detail::panel<1>(c + j, ldc, a, row_step, k_step, b + j, ldb, m, k, accumulate);
}

// Asks for rows that are about to be used, or written: a head's rows lie far apart, where processors do not look ahead
// by themselves.
INLINE void prefetch_rows(const float* p, size_t stride, size_t rows, size_t width) {
  for (size_t r = 0; r < rows; r++)
    for (size_t i = 0; i < width; i += 16) __builtin_prefetch(p + r * stride + i);
}

// A tile of `rows` rows copied out of a matrix; columns from `width` to the row's end become zero.
INLINE void copy_tile(float* tile, size_t ld, const float* source, size_t stride, size_t rows, size_t width) {
  for (size_t r = 0; r < rows; r++) {
    const float* from = source + r * stride;
    float* to = tile + r * ld;
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) store(to + i, load(from + i));
    if (i < width) store(to + i, load_partial(from + i, width - i));
  }
}

// target [columns, rows] = source [rows, columns], transposed.
inline void transpose_block(float* target, size_t ld, const float* source, size_t stride, size_t rows, size_t columns) {
  constexpr size_t SIDE = 4;
  typedef float Four __attribute__((vector_size(16)));
  typedef int32_t FourIndices __attribute__((vector_size(16), unused));
  typedef float FourAnywhere __attribute__((vector_size(16), aligned(4), may_alias));
  size_t r = 0;
  for (; r + SIDE <= rows; r += SIDE) {
    const float* s = source + r * stride;
    size_t c = 0;
    for (; c + SIDE <= columns; c += SIDE) {
      const Four x0 = *reinterpret_cast<const FourAnywhere*>(s + c);
      const Four x1 = *reinterpret_cast<const FourAnywhere*>(s + stride + c);
      const Four x2 = *reinterpret_cast<const FourAnywhere*>(s + 2 * stride + c);
      const Four x3 = *reinterpret_cast<const FourAnywhere*>(s + 3 * stride + c);
      const Four a = SHUFFLE(x0, x1, 0, 4, 1, 5), b = SHUFFLE(x2, x3, 0, 4, 1, 5);
      const Four d = SHUFFLE(x0, x1, 2, 6, 3, 7), e = SHUFFLE(x2, x3, 2, 6, 3, 7);
      float* t = target + c * ld + r;
      *reinterpret_cast<FourAnywhere*>(t) = SHUFFLE(a, b, 0, 1, 4, 5);
      *reinterpret_cast<FourAnywhere*>(t + ld) = SHUFFLE(a, b, 2, 3, 6, 7);
      *reinterpret_cast<FourAnywhere*>(t + 2 * ld) = SHUFFLE(d, e, 0, 1, 4, 5);
      *reinterpret_cast<FourAnywhere*>(t + 3 * ld) = SHUFFLE(d, e, 2, 3, 6, 7);
    }
    for (; c < columns; c++)
      for (size_t i = 0; i < SIDE; i++) target[c * ld + r + i] = s[i * stride + c];
  }
  for (; r < rows; r++)
    for (size_t c = 0; c < columns; c++) target[c * ld + r] = source[r * stride + c];
}

// The same into a tile: rows of target are filled with zeros to their end, `ld`.
inline void transpose_tile(float* target, size_t ld, const float* source, size_t stride, size_t rows, size_t columns) {
  transpose_block(target, ld, source, stride, rows, columns);
  if (rows < ld)
    for (size_t c = 0; c < columns; c++) std::memset(target + c * ld + rows, 0, (ld - rows) * sizeof(float));
}

}  // namespace ISA
}  // namespace protein_lm
