// The matrix product after Goto and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008): a tile of C
// stays in registers while the innermost kernel runs through a panel of A (some rows) and a panel of B (some columns),
// for a block of k that the near caches hold. B is copied into panels that are read in order. A is read where it lies,
// in either order, as copying it costs more than that saves where C is narrow; only where its rows would fall on the
// same lines of the first cache it is copied too. Rows are dealt evenly to panels, so that no panel is nearly empty.
//
// Every element of C is the sum, in order, of its sums over blocks of k, which depend on k alone: not on tiles, threads.

namespace protein_lm {
namespace ISA {
namespace gemm_detail {

// MAX_ROWS * 2 sums, 2 vectors of B and 1 of A fill the registers; NEON spills some at 14.
constexpr size_t MAX_ROWS = VECTOR_REGISTERS == 16 ? 6 : LANES == 16 ? 14 : 12;
constexpr size_t PANEL = 2 * LANES;           // columns of a panel of B
constexpr size_t DEPTH = 512;                 // of a block of k, at most
constexpr size_t BLOCK_PANELS = 8;            // panels of A that meet a panel of B while the first cache has it
constexpr size_t COLUMNS = 1024;              // of B packed at a time, at most,
constexpr size_t PACKED_B = size_t{1} << 18;  // in floats (but one block of k at least): they stay in the second cache
constexpr size_t ROW = DEPTH + 16;            // between the rows of a copied panel of A
constexpr size_t A_PANEL = MAX_ROWS * ROW;

// Rows of this many floats, or multiples, lie whole pages apart: on the same few lines of the first cache.
constexpr size_t CONFLICT = 1024;

enum class Layout { rows, columns };  // how A is stored: [m, k] or, transposed, [k, m]

// c [ROWS, VECTORS * LANES] = (c +) alpha * a b over k. a is stored with lda between rows or columns, b is
// [k][VECTORS * LANES]. next is what will be read after a.
template <size_t ROWS, size_t VECTORS, Layout LAYOUT>
void kernel(size_t k, const float* a, size_t lda, const float* b, float* c, size_t ldc, float alpha, bool add,
            const float* next) {
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
    __builtin_prefetch(LAYOUT == Layout::rows ? next + p * 16 : a + (p + 16) * lda);
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; i++) {
      const Vec x = broadcast(LAYOUT == Layout::rows ? a[i * lda + p] : a[p * lda + i]);
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

using Kernel = void (*)(size_t k, const float* a, size_t lda, const float* b, float* c, size_t ldc, float alpha,
                        bool add, const float* next);

struct Kernels {
  Kernel of[2][2][MAX_ROWS + 1];  // [layout][vectors - 1][rows]
};

template <size_t... I>
constexpr Kernels make_kernels(std::index_sequence<I...>) {
  return {{{{nullptr, kernel<I + 1, 1, Layout::rows>...}, {nullptr, kernel<I + 1, 2, Layout::rows>...}},
           {{nullptr, kernel<I + 1, 1, Layout::columns>...}, {nullptr, kernel<I + 1, 2, Layout::columns>...}}}};
}
constexpr Kernels KERNELS = make_kernels(std::make_index_sequence<MAX_ROWS>());

// A panel of A, in its matrix or copied. a is op(A)'s element (0, 0).
struct PanelA {
  const float* a;
  size_t lda;
  Layout layout;
  size_t rows, k;

  void copy_to(float* target) {
    const size_t lines = layout == Layout::rows ? rows : k, length = layout == Layout::rows ? k : rows;
    const size_t step = layout == Layout::rows ? ROW : MAX_ROWS;
    for (size_t i = 0; i < lines; i++) {
      const float* from = a + i * lda;
      float* to = target + i * step;
      __builtin_prefetch(from + 32 * lda);
      size_t p = 0;
      for (; p + LANES <= length; p += LANES) store(to + p, load(from + p));
      if (p < length) store_partial(to + p, load_partial(from + p, length - p), length - p);
    }
    a = target;
    lda = step;
  }

  // The rows' sums over k, or with `add` sums plus them.
  void sum_rows(float* sums, bool add) const {
    float totals[MAX_ROWS] = {};
    if (layout == Layout::columns) {
      for (size_t p = 0; p < k; p++)
        for (size_t i = 0; i < rows; i++) totals[i] += a[p * lda + i];
    } else {
      for (size_t i = 0; i < rows; i++) {
        Vec strands = zero();
        size_t p = 0;
        for (; p + LANES <= k; p += LANES) strands += load(a + i * lda + p);
        if (p < k) strands += load_partial(a + i * lda + p, k - p);
        totals[i] = sum(strands);
      }
    }
    for (size_t i = 0; i < rows; i++) sums[i] = add ? sums[i] + totals[i] : totals[i];
  }
};

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

  // C's panels of rows times panels of columns (from `column0` on), over blocks of k, with that part of B packed.
  void multiply(Range row_range, size_t column0, size_t columns, Range panel_range, const float* packed_b,
                size_t packed_columns, Range blocks) const {
    const Layout layout = g.transpose_a ? Layout::columns : Layout::rows;
    const bool epilogue = g.bias != nullptr || g.activation != Activation::none || residual != nullptr;
    const bool copy_a = g.lda % CONFLICT == 0 && g.lda != 0;
    float* copies = copy_a ? scratch_of(Scratch::gemm_a, BLOCK_PANELS * A_PANEL) : nullptr;
    alignas(64) float tile[MAX_ROWS * PANEL];
    PanelA block[BLOCK_PANELS];
    const size_t k_begin = depth_of(blocks.begin).begin;
    for (size_t k_block = blocks.begin; k_block < blocks.end; k_block++) {
      const size_t k0 = depth_of(k_block).begin, depth = depth_of(k_block).end - k0;
      const bool add = g.accumulate || k_block > 0, last = k_block + 1 == k_blocks;
      for (size_t first = row_range.begin; first < row_range.end; first += BLOCK_PANELS) {
        const size_t count = std::min(BLOCK_PANELS, row_range.end - first);
        for (size_t i = 0; i < count; i++) {
          const Range rows = rows_of(first + i);
          const float* start = a + (g.transpose_a ? k0 * g.lda + rows.begin : rows.begin * g.lda + k0);
          block[i] = {start, g.lda, layout, rows.end - rows.begin, depth};
          if (copy_a) block[i].copy_to(copies + i * A_PANEL);
          if (row_sums != nullptr && column0 == 0 && panel_range.begin == 0)
            block[i].sum_rows(row_sums + rows.begin, k_block > 0);
        }
        for (size_t j = panel_range.begin; j < panel_range.end; j++) {
          const size_t column = j * PANEL;
          const size_t filled = std::min(PANEL, columns - column);
          const float* panel_b = packed_b + (k0 - k_begin) * packed_columns + column * depth;
          for (size_t i = 0; i < count; i++) {
            const PanelA& panel = block[i];
            const size_t row = rows_of(first + i).begin;
            const float* next = i + 1 < count ? block[i + 1].a : block[0].a;
            const Kernel kernel = KERNELS.of[static_cast<size_t>(layout)][width(filled) / LANES - 1][panel.rows];
            if ((last && epilogue) || filled % LANES != 0) {
              kernel(depth, panel.a, panel.lda, panel_b, tile, PANEL, g.alpha, false, next);
              finish(tile, row, panel.rows, column0 + column, filled, add, last);
            } else {
              float* target = c + row * g.ldc + column0 + column;
              kernel(depth, panel.a, panel.lda, panel_b, target, g.ldc, g.alpha, add, next);
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
