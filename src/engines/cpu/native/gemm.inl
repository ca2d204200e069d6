// The matrix product after Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008): both
// operands are copied into panels that the innermost kernel reads in order, a tile of C stays in registers, a panel of B
// in the first cache and a block of A in the second. What is particular here: a panel of A keeps the order its matrix is
// stored in (copied, never transposed), and rows are dealt evenly to panels, so that no panel is nearly empty.
//
// Every element of C is the sum, in order, of its sums over blocks of k, which depend on k alone: not on tiles, threads.

namespace protein_lm {
namespace ISA {
namespace gemm_detail {

// MAX_ROWS * 2 sums, 2 vectors of B and 1 of A fill the registers; NEON spills some at 14.
constexpr size_t MAX_ROWS = VECTOR_REGISTERS == 16 ? 6 : LANES == 16 ? 14 : 12;
constexpr size_t PANEL = 2 * LANES;                           // columns of a panel of B
constexpr size_t DEPTH = 512;  // of a block of k, at most
constexpr size_t ROW = DEPTH + 16;  // between the rows of a panel of A: no multiple of a page, so no cache conflicts
constexpr size_t A_PANEL = MAX_ROWS * ROW;
constexpr size_t COLUMNS = 1024;             // of B packed at a time, at most,
constexpr size_t PACKED_B = size_t{1} << 18;  // in floats (but one block of k at least): they stay in the second cache
constexpr size_t BLOCK_PANELS = 8;            // panels of A that a task packs at a time

enum class Layout { rows, columns };  // of a panel of A: [rows][ROW] or [k][rows]

// c [ROWS, VECTORS * LANES] = (c +) alpha * a b over k. b is [k][VECTORS * LANES].
template <size_t ROWS, size_t VECTORS, Layout LAYOUT>
void kernel(size_t k, const float* a, const float* b, float* c, size_t ldc, float alpha, bool add, const float* next) {
  Vec sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (size_t i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (size_t j = 0; j < VECTORS; j++) sums[i][j] = zero();
#pragma GCC unroll 2
  for (size_t p = 0; p < k; p++) {
    Vec row[VECTORS];
#pragma GCC unroll 2
    for (size_t j = 0; j < VECTORS; j++) row[j] = *reinterpret_cast<const Vec*>(b + (p * VECTORS + j) * LANES);
    __builtin_prefetch(next + p * 16);
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; i++) {
      const Vec x = broadcast(LAYOUT == Layout::rows ? a[i * ROW + p] : a[p * ROWS + i]);
#pragma GCC unroll 2
      for (size_t j = 0; j < VECTORS; j++) sums[i][j] += x * row[j];
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (size_t j = 0; j < VECTORS; j++) {
      float* at = c + i * ldc + j * LANES;
      const Vec sum = sums[i][j] * alpha;
      store(at, add ? load(at) + sum : sum);
    }
}

using Kernel = void (*)(size_t k, const float* a, const float* b, float* c, size_t ldc, float alpha, bool add,
                        const float* next);

// Copies op(A) [ROWS, k] into a panel; a is its first element.
template <size_t ROWS>
void pack_columns(const float* a, size_t lda, size_t k, float* panel) {
  for (size_t p = 0; p < k; p++) std::memcpy(panel + p * ROWS, a + p * lda, ROWS * sizeof(float));
}
using PackColumns = void (*)(const float* a, size_t lda, size_t k, float* panel);

struct Kernels {
  Kernel multiply[2][2][MAX_ROWS + 1];  // [layout][vectors - 1][rows]
  PackColumns pack_columns[MAX_ROWS + 1];
};

template <size_t... I>
constexpr Kernels make_kernels(std::index_sequence<I...>) {
  return {{{{nullptr, kernel<I + 1, 1, Layout::rows>...}, {nullptr, kernel<I + 1, 2, Layout::rows>...}},
           {{nullptr, kernel<I + 1, 1, Layout::columns>...}, {nullptr, kernel<I + 1, 2, Layout::columns>...}}},
          {nullptr, gemm_detail::pack_columns<I + 1>...}};
}
constexpr Kernels KERNELS = make_kernels(std::make_index_sequence<MAX_ROWS>());

void pack_rows(const float* a, size_t lda, size_t rows, size_t k, float* panel) {
  for (size_t i = 0; i < rows; i++) {
    const float* from = a + i * lda;
    float* to = panel + i * ROW;
    size_t p = 0;
    for (; p + LANES <= k; p += LANES) store(to + p, load(from + p));
    if (p < k) store_partial(to + p, load_partial(from + p, k - p), k - p);
  }
}

// Sums of a packed panel's rows over k, added to sums: in order within each of LANES strands, then over the strands.
void add_row_sums(const float* panel, Layout layout, size_t rows, size_t k, bool first, float* sums) {
  for (size_t i = 0; i < rows; i++) {
    float total = 0;
    if (layout == Layout::rows) {
      Vec strands = zero();
      size_t p = 0;
      for (; p + LANES <= k; p += LANES) strands += load(panel + i * ROW + p);
      if (p < k) strands += load_partial(panel + i * ROW + p, k - p);
      total = sum(strands);
    } else {
      for (size_t p = 0; p < k; p++) total += panel[p * rows + i];
    }
    sums[i] = first ? total : sums[i] + total;
  }
}

// Two vectors whose lanes form SIZE x SIZE blocks change their off-diagonal blocks: a step of a transposition.
template <size_t SIZE, int... I>
INLINE void swap_blocks(Vec& x, Vec& y, std::integer_sequence<int, I...>) {
  constexpr int N = static_cast<int>(LANES), S = static_cast<int>(SIZE);
  const Vec a = __builtin_shufflevector(x, y, ((I & S) ? N + I - S : I)...);
  const Vec b = __builtin_shufflevector(x, y, ((I & S) ? N + I : I + S)...);
  x = a;
  y = b;
}
template <size_t SIZE>
INLINE void transpose_step(Vec (&v)[LANES]) {
#pragma GCC unroll 16
  for (size_t i = 0; i < LANES; i++)
    if (!(i & SIZE)) swap_blocks<SIZE>(v[i], v[i + SIZE], std::make_integer_sequence<int, LANES>());
  if constexpr (SIZE > 1) transpose_step<SIZE / 2>(v);
}

// Copies op(B) [k, columns], columns <= PANEL, into a panel [k][width] filled up with zeros; b is its first element.
void pack_b(const float* b, size_t ldb, bool transposed, size_t k, size_t columns, size_t width, float* panel) {
  if (!transposed) {
    for (size_t p = 0; p < k; p++)
      for (size_t j = 0; j < width; j += LANES) {
        const float* from = b + p * ldb + j;
        store(panel + p * width + j, j + LANES <= columns ? load(from) : j < columns ? load_partial(from, columns - j) : zero());
      }
    return;
  }
  for (size_t j = 0; j < width; j += LANES) {
    const size_t filled = columns <= j ? 0 : columns - j < LANES ? columns - j : LANES;
    for (size_t p = 0; p < k; p += LANES) {
      const size_t depth = k - p < LANES ? k - p : LANES;
      Vec v[LANES];
      if (filled == LANES && depth == LANES) {
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++) v[i] = load(b + (j + i) * ldb + p);
        transpose_step<LANES / 2>(v);
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++) store(panel + (p + i) * width + j, v[i]);
      } else {
        for (size_t i = 0; i < LANES; i++) v[i] = i < filled ? load_partial(b + (j + i) * ldb + p, depth) : zero();
        transpose_step<LANES / 2>(v);
        for (size_t i = 0; i < depth; i++) store(panel + (p + i) * width + j, v[i]);
      }
    }
  }
}

struct Range {
  size_t begin, end;
};
// The index-th of `parts` ranges that share [0, count) out evenly, the longer ones first.
INLINE Range share(size_t count, size_t parts, size_t index) {
  const size_t each = count / parts, longer = count % parts;
  const size_t begin = index * each + (index < longer ? index : longer);
  return {begin, begin + each + (index < longer ? 1 : 0)};
}
INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// One batch of a product, cut into panels.
struct Product {
  const Gemm& g;
  const float *a, *b;
  float* c;
  float* pre_activation;
  const float* residual;
  float* row_sums;
  size_t row_panels, k_blocks;

  Product(const Gemm& gemm, size_t batch) : g(gemm) {
    const size_t i = batch / g.inner, j = batch % g.inner;
    const size_t c_offset = i * g.c_outer + j * g.c_inner;
    a = g.a + i * g.a_outer + j * g.a_inner;
    b = g.b + i * g.b_outer + j * g.b_inner;
    c = g.c + c_offset;
    pre_activation = g.pre_activation == nullptr ? nullptr : g.pre_activation + c_offset;
    residual = g.residual == nullptr ? nullptr : g.residual + c_offset;
    row_sums = batch == 0 ? g.row_sums_a : nullptr;
    row_panels = ceil_div(g.m, MAX_ROWS);
    k_blocks = g.k == 0 ? 1 : ceil_div(g.k, DEPTH);
  }

  INLINE Range rows_of(size_t panel) const { return share(g.m, row_panels, panel); }
  INLINE Range depth_of(size_t block) const { return share(g.k, k_blocks, block); }
  INLINE static size_t width(size_t columns) { return columns <= LANES ? LANES : PANEL; }

  // What is left to do to a tile of sums: adding to C, and in the last block of k all that follows the product.
  void finish(const float* tile, size_t row, size_t rows, size_t column, size_t columns, bool add, bool last) const {
    for (size_t i = 0; i < rows; i++) {
      const size_t offset = (row + i) * g.ldc + column;
      for (size_t j = 0; j < columns; j += LANES) {
        const size_t at = offset + j;
        const size_t count = columns - j < LANES ? columns - j : LANES;
        Vec value = load(tile + i * PANEL + j);
        if (add) value += load_partial(c + at, count);
        if (last) {
          if (g.bias != nullptr) value += load_partial(g.bias + column + j, count);
          if (g.activation == Activation::gelu) {
            if (pre_activation != nullptr) store_partial(pre_activation + at, value, count);
            value = gelu(value);
          } else if (g.activation == Activation::gelu_grad) {
            value *= gelu_derivative(load_partial(pre_activation + at, count));
          }
          if (residual != nullptr) value += load_partial(residual + at, count);
        }
        store_partial(c + at, value, count);
      }
    }
  }

  void pack_a(Range panels, size_t k0, size_t depth, float* packed) const {
    // Stored by columns, all panels take their share of a few columns before the next: those lie in one piece.
    constexpr size_t STRIP = 8;
    const size_t strip = g.transpose_a ? STRIP : depth;
    for (size_t p = 0; p < depth; p += strip)
      for (size_t i = panels.begin; i < panels.end; i++) {
        const Range rows = rows_of(i);
        const size_t count = rows.end - rows.begin;
        float* panel = packed + (i - panels.begin) * A_PANEL;
        if (g.transpose_a)
          KERNELS.pack_columns[count](a + (k0 + p) * g.lda + rows.begin, g.lda, std::min(strip, depth - p),
                                      panel + p * count);
        else
          pack_rows(a + rows.begin * g.lda + k0, g.lda, count, depth, panel);
      }
  }

  // C's panels of rows times panels of columns (from `column0` on), over blocks of k, with that part of B packed.
  void multiply(Range row_range, size_t column0, size_t columns, Range panel_range, const float* packed_b,
                size_t packed_columns, Range blocks) const {
    const Layout layout = g.transpose_a ? Layout::columns : Layout::rows;
    const bool epilogue = g.bias != nullptr || g.activation != Activation::none || residual != nullptr;
    float* packed_a = scratch_of(Scratch::gemm_a, BLOCK_PANELS * A_PANEL);
    alignas(64) float tile[MAX_ROWS * PANEL];
    const size_t k_begin = depth_of(blocks.begin).begin;
    for (size_t k_block = blocks.begin; k_block < blocks.end; k_block++) {
      const size_t k0 = depth_of(k_block).begin, depth = depth_of(k_block).end - k0;
      const bool add = g.accumulate || k_block > 0, last = k_block + 1 == k_blocks;
      for (size_t block = row_range.begin; block < row_range.end; block += BLOCK_PANELS) {
        const size_t block_end = std::min(block + BLOCK_PANELS, row_range.end);
        pack_a({block, block_end}, k0, depth, packed_a);
        if (row_sums != nullptr && column0 == 0 && panel_range.begin == 0)
          for (size_t i = block; i < block_end; i++) {
            const Range rows = rows_of(i);
            add_row_sums(packed_a + (i - block) * A_PANEL, layout, rows.end - rows.begin, depth, k0 == 0,
                         row_sums + rows.begin);
          }
        for (size_t j = panel_range.begin; j < panel_range.end; j++) {
          const size_t column = j * PANEL;
          const size_t filled = std::min(PANEL, columns - column);
          const float* panel_b = packed_b + (k0 - k_begin) * packed_columns + column * depth;
          for (size_t i = block; i < block_end; i++) {
            const Range rows = rows_of(i);
            const size_t count = rows.end - rows.begin;
            const float* panel_a = packed_a + (i - block) * A_PANEL;
            const float* next = i + 1 < block_end ? panel_a + A_PANEL : packed_a;
            const Kernel kernel = KERNELS.multiply[static_cast<size_t>(layout)][width(filled) / LANES - 1][count];
            if ((last && epilogue) || filled % LANES != 0) {
              kernel(depth, panel_a, panel_b, tile, PANEL, g.alpha, false, next);
              finish(tile, rows.begin, count, column0 + column, filled, add, last);
            } else {
              kernel(depth, panel_a, panel_b, c + rows.begin * g.ldc + column0 + column, g.ldc, g.alpha, add, next);
            }
          }
        }
      }
    }
  }

  template <typename ForEach>
  void run(size_t workers, const ForEach& for_each) const {
    const size_t chunks = ceil_div(g.n, COLUMNS);
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      const size_t column0 = chunk * COLUMNS, columns = std::min(COLUMNS, g.n - column0);
      const size_t panels = ceil_div(columns, PANEL);
      const size_t packed_columns = (panels - 1) * PANEL + width(columns - (panels - 1) * PANEL);
      const size_t blocks_each = std::max<size_t>(1, PACKED_B / packed_columns / DEPTH);
      float* packed_b = scratch_of(Scratch::gemm_b, packed_columns * std::min(g.k, blocks_each * DEPTH));

      // Tasks of whole rows where there are enough of them, else of less.
      size_t rows_each = std::min(BLOCK_PANELS, row_panels), panels_each = panels;
      const auto tasks = [&] { return ceil_div(row_panels, rows_each) * ceil_div(panels, panels_each); };
      while (tasks() < 4 * workers && rows_each > 4) rows_each = ceil_div(rows_each, 2);
      while (tasks() < 3 * workers && panels_each > 2) panels_each = ceil_div(panels_each, 2);
      while (tasks() < 3 * workers && rows_each > 1) rows_each = ceil_div(rows_each, 2);
      const size_t row_tasks = ceil_div(row_panels, rows_each), panel_tasks = ceil_div(panels, panels_each);

      for (size_t block = 0; block < k_blocks; block += blocks_each) {
        const Range blocks{block, std::min(k_blocks, block + blocks_each)};
        const size_t k_begin = depth_of(block).begin;
        constexpr size_t PACK_PANELS = 4;
        const size_t groups = ceil_div(panels, PACK_PANELS);
        for_each(groups * (blocks.end - blocks.begin), [&](size_t task) ISA_LAMBDA {
          const Range k = depth_of(block + task / groups);
          const size_t depth = k.end - k.begin;
          const size_t first = task % groups * PACK_PANELS, end = std::min(panels, first + PACK_PANELS);
          for (size_t j = first; j < end; j++) {
            const size_t column = column0 + j * PANEL, filled = std::min(PANEL, columns - j * PANEL);
            pack_b(b + (g.transpose_b ? column * g.ldb + k.begin : k.begin * g.ldb + column), g.ldb, g.transpose_b,
                   depth, filled, width(filled), packed_b + (k.begin - k_begin) * packed_columns + j * PANEL * depth);
          }
        });
        for_each(row_tasks * panel_tasks, [&](size_t task) ISA_LAMBDA {
          multiply(share(row_panels, row_tasks, task / panel_tasks), column0, columns,
                   share(panels, panel_tasks, task % panel_tasks), packed_b, packed_columns, blocks);
        });
      }
    }
  }
};

}  // namespace gemm_detail

void gemm(const Gemm& g) {
  using namespace gemm_detail;
  const size_t batches = g.outer * g.inner;
  const double work = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k + 8);
  const size_t workers = threads();
  const auto serially = [](size_t count, const auto& f) ISA_LAMBDA {
    for (size_t i = 0; i < count; i++) f(i);
  };
  constexpr double SMALL = 3e5;  // operations that are done before another thread would have begun
  if (work * static_cast<double>(batches) < SMALL || workers == 1) {
    for (size_t i = 0; i < batches; i++) Product(g, i).run(1, serially);
  } else if (batches > 1 && (batches >= 4 * workers || work < 10 * SMALL)) {
    const size_t grain = work < SMALL ? static_cast<size_t>(SMALL / work) + 1 : 1;
    parallel_ranges(batches, grain, [&](size_t begin, size_t end) ISA_LAMBDA {
      for (size_t i = begin; i < end; i++) Product(g, i).run(1, serially);
    });
  } else {
    for (size_t i = 0; i < batches; i++)
      Product(g, i).run(workers, [](size_t count, const auto& f) ISA_LAMBDA { parallel_for(count, f); });
  }
}

}  // namespace ISA
}  // namespace protein_lm
