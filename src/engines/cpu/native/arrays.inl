// tfjs's own operations: elementwise ones with broadcasting, reductions, and moves of elements.

namespace protein_lm {
namespace ISA {

namespace arrays_detail {

constexpr size_t TASK = 32768;  // elements of a task

// Calls f(offset of a, offset of b) for the outer indices [begin, end) of a shape's first `rank` axes.
template <typename F>
INLINE void for_outer(const Shape& shape, size_t rank, const size_t* a_strides, const size_t* b_strides, size_t begin,
                      size_t end, F&& f) {
  size_t index[MAX_RANK], a = 0, b = 0;
  size_t rest = begin;
  for (size_t axis = rank; axis-- > 0;) {
    index[axis] = rest % shape.dims[axis];
    rest /= shape.dims[axis];
    a += index[axis] * a_strides[axis];
    b += index[axis] * b_strides[axis];
  }
  for (size_t i = begin; i < end; i++) {
    f(i, a, b);
    for (size_t axis = rank; axis-- > 0;) {
      a += a_strides[axis];
      b += b_strides[axis];
      if (++index[axis] < shape.dims[axis]) break;
      a -= shape.dims[axis] * a_strides[axis];
      b -= shape.dims[axis] * b_strides[axis];
      index[axis] = 0;
    }
  }
}

template <Binary OP>
INLINE Vec apply(Vec a, Vec b) {
  switch (OP) {
    case Binary::add: return a + b;
    case Binary::subtract: return a - b;
    case Binary::multiply: return a * b;
    case Binary::divide: return a / b;
    // NaN in either gives NaN, as in JavaScript's Math.max.
    case Binary::maximum: return select(a != a, a, select(b > a, b, select(b != b, b, a)));
    case Binary::minimum: return select(a != a, a, select(b < a, b, select(b != b, b, a)));
    case Binary::squared_difference: return (a - b) * (a - b);
    case Binary::count: break;
  }
  return a;
}

// y [n] = a op b, either of which may be one element repeated.
template <Binary OP>
void row(const float* a, bool a_repeats, const float* b, bool b_repeats, float* y, size_t n) {
  const Vec a_one = broadcast(a[0]), b_one = broadcast(b[0]);
  size_t i = 0;
  if (!a_repeats && !b_repeats)
    for (; i + LANES <= n; i += LANES) store(y + i, apply<OP>(load(a + i), load(b + i)));
  else if (b_repeats && !a_repeats)
    for (; i + LANES <= n; i += LANES) store(y + i, apply<OP>(load(a + i), b_one));
  else
    for (; i + LANES <= n; i += LANES) store(y + i, apply<OP>(a_one, b_repeats ? b_one : load(b + i)));
  if (i < n) {
    const Vec left = a_repeats ? a_one : load_partial(a + i, n - i);
    const Vec right = b_repeats ? b_one : load_partial(b + i, n - i);
    store_partial(y + i, apply<OP>(left, right), n - i);
  }
}

template <Binary OP>
void run_binary(const Shape& shape, const Strided<const float>& a, const Strided<const float>& b, float* y) {
  const size_t last = shape.rank - 1, n = shape.dims[last];
  const size_t outer = n == 0 ? 0 : shape.elements() / n;
  const bool a_repeats = a.strides[last] == 0, b_repeats = b.strides[last] == 0;
  if (outer == 1) {
    parallel_ranges(n, TASK, [&](size_t begin, size_t end) ISA_LAMBDA {
      row<OP>(a.data + (a_repeats ? 0 : begin), a_repeats, b.data + (b_repeats ? 0 : begin), b_repeats, y + begin,
              end - begin);
    });
    return;
  }
  parallel_ranges(outer, std::max<size_t>(1, TASK / (n + 1)), [&](size_t begin, size_t end) ISA_LAMBDA {
    for_outer(shape, last, a.strides, b.strides, begin, end, [&](size_t i, size_t at_a, size_t at_b) ISA_LAMBDA {
      row<OP>(a.data + at_a, a_repeats, b.data + at_b, b_repeats, y + i * n, n);
    });
  });
}

template <typename F>
INLINE Vec by_lane(Vec x, F&& f) {
  for (size_t i = 0; i < LANES; i++) x[i] = f(x[i]);
  return x;
}

template <Unary OP>
INLINE Vec apply(Vec x) {
  switch (OP) {
    case Unary::absolute: return abs(x);
    case Unary::cosine: return by_lane(x, [](float v) ISA_LAMBDA { return std::cos(v); });
    case Unary::error_function: return erf(x);
    case Unary::exponential: return exp(x);
    case Unary::logarithm: return by_lane(x, [](float v) ISA_LAMBDA { return std::log(v); });
    case Unary::negative: return -x;
    case Unary::reciprocal: return 1.0f / x;
    case Unary::relu: return select(x < zero(), zero(), x);
    case Unary::reciprocal_root: return 1.0f / sqrt(x);
    case Unary::sigmoid: return 1.0f / (1.0f + exp(-x));
    case Unary::sine: return by_lane(x, [](float v) ISA_LAMBDA { return std::sin(v); });
    case Unary::root: return sqrt(x);
    case Unary::square: return x * x;
    case Unary::tangent_h: return by_lane(x, [](float v) ISA_LAMBDA { return std::tanh(v); });
    case Unary::count: break;
  }
  return x;
}

template <Unary OP>
void run_unary(const float* x, float* y, size_t count) {
  parallel_ranges(count, TASK / 4, [&](size_t begin, size_t end) ISA_LAMBDA {
    size_t i = begin;
    for (; i + LANES <= end; i += LANES) store(y + i, apply<OP>(load(x + i)));
    if (i < end) store_partial(y + i, apply<OP>(load_partial(x + i, end - i)), end - i);
  });
}

template <Reduction OP>
INLINE Vec merge(Vec a, Vec b) {
  if (OP == Reduction::sum) return a + b;
  return OP == Reduction::maximum ? apply<Binary::maximum>(a, b) : apply<Binary::minimum>(a, b);
}
template <Reduction OP>
constexpr float neutral() {
  return OP == Reduction::sum       ? 0.0f
         : OP == Reduction::maximum ? -std::numeric_limits<float>::infinity()
                                    : std::numeric_limits<float>::infinity();
}
template <Reduction OP>
INLINE float merge_lanes(Vec v) {
  if (OP == Reduction::sum) return sum(v);
  for (size_t i = 1; i < LANES; i++) v = merge<OP>(v, broadcast(v[i]));
  return v[0];
}

// One number from n in a row. Sums go to double every RUN elements.
template <Reduction OP>
double reduce_row(const float* x, size_t n) {
  constexpr size_t RUN = 1024;
  double total = neutral<OP>();
  for (size_t begin = 0; begin < n; begin += RUN) {
    const size_t end = std::min(n, begin + RUN);
    Vec a = broadcast(neutral<OP>()), b = a;
    size_t i = begin;
    for (; i + 2 * LANES <= end; i += 2 * LANES) {
      a = merge<OP>(a, load(x + i));
      b = merge<OP>(b, load(x + i + LANES));
    }
    float part = merge_lanes<OP>(merge<OP>(a, b));
    for (; i < end; i++) part = merge<OP>(broadcast(part), broadcast(x[i]))[0];
    if (OP == Reduction::sum) total += part;
    else total = merge<OP>(broadcast(static_cast<float>(total)), broadcast(part))[0];
  }
  return total;
}

// y [width] from x [n] rows, `stride` apart; sums of 64 rows each are added up.
template <Reduction OP>
void reduce_columns(const float* x, size_t n, size_t stride, size_t width, float* y, float scale) {
  constexpr size_t RUN = 64;
  for (size_t i = 0; i < width; i += LANES) {
    const size_t lanes = std::min(LANES, width - i);
    Vec total = broadcast(neutral<OP>());
    for (size_t begin = 0; begin < n; begin += RUN) {
      Vec part = broadcast(neutral<OP>());
      for (size_t r = begin; r < std::min(n, begin + RUN); r++) {
        const float* at = x + r * stride + i;
        part = merge<OP>(part, lanes == LANES ? load(at) : load_partial(at, lanes));
      }
      total = merge<OP>(total, part);
    }
    store_partial(y + i, total * scale, lanes);
  }
}

template <Reduction OP>
void run_reduce(size_t outer, size_t n, size_t inner, const float* x, float* y, float scale) {
  if (inner > 1) {
    constexpr size_t WIDTH = 256;
    const size_t pieces = (inner + WIDTH - 1) / WIDTH;
    parallel_for(outer * pieces, [&](size_t task) ISA_LAMBDA {
      const size_t row = task / pieces, begin = task % pieces * WIDTH;
      reduce_columns<OP>(x + row * n * inner + begin, n, inner, std::min(WIDTH, inner - begin), y + row * inner + begin,
                         scale);
    });
    return;
  }
  // Long rows are cut into pieces of TASK elements, whoever sums them.
  const size_t pieces = std::max<size_t>(1, (n + TASK - 1) / TASK);
  double* partial = scratch_of<double>(Scratch::kernel, outer * pieces + 1);
  parallel_ranges(outer * pieces, pieces > 1 ? 1 : std::max<size_t>(1, TASK / (n + 1)),
                  [&](size_t begin, size_t end) ISA_LAMBDA {
                    for (size_t task = begin; task < end; task++) {
                      const size_t first = task % pieces * TASK;
                      partial[task] = reduce_row<OP>(x + task / pieces * n + first, std::min(TASK, n - first));
                    }
                  });
  for (size_t row = 0; row < outer; row++) {
    double total = partial[row * pieces];
    for (size_t i = 1; i < pieces; i++) {
      const double part = partial[row * pieces + i];
      if (OP == Reduction::sum) total += part;
      else total = merge<OP>(broadcast(static_cast<float>(total)), broadcast(static_cast<float>(part)))[0];
    }
    y[row] = static_cast<float>(total * scale);
  }
}

}  // namespace arrays_detail

void copy_strided(const Shape& shape, const Strided<const float>& x, const Strided<float>& y) {
  using namespace arrays_detail;
  const size_t last = shape.rank - 1, n = shape.dims[last];
  if (shape.elements() == 0) return;
  // Where x runs along another axis than y, those two axes are turned tile by tile.
  size_t turned = last;
  if (x.strides[last] > 1 && y.strides[last] == 1)
    for (size_t axis = 0; axis < last; axis++)
      if (x.strides[axis] == 1 && shape.dims[axis] > 1) turned = axis;
  if (turned != last) {
    constexpr size_t SIDE = 64;
    Shape outer = shape;
    outer.dims[turned] = (shape.dims[turned] + SIDE - 1) / SIDE;
    Strided<const float> from = x;
    Strided<float> to = y;
    from.strides[turned] *= SIDE;
    to.strides[turned] *= SIDE;
    const size_t full = shape.dims[turned] / SIDE, rest = shape.dims[turned] % SIDE;
    parallel_ranges(outer.elements() / n, std::max<size_t>(1, TASK / (n * SIDE)),
                    [&](size_t begin, size_t end) ISA_LAMBDA {
                      for_outer(outer, last, from.strides, to.strides, begin, end,
                                [&](size_t i, size_t at_x, size_t at_y) ISA_LAMBDA {
                                  size_t block = i;
                                  for (size_t axis = last; axis-- > turned + 1;) block /= outer.dims[axis];
                                  const size_t columns = block % outer.dims[turned] < full ? SIDE : rest;
                                  for (size_t r = 0; r < n; r += SIDE) {
                                    const size_t rows = std::min(SIDE, n - r);
                                    transpose_block(y.data + at_y + r, y.strides[turned],
                                                    x.data + at_x + r * x.strides[last], x.strides[last], rows,
                                                    columns);
                                  }
                                });
                    });
    return;
  }
  parallel_ranges(shape.elements() / n, std::max<size_t>(1, TASK / n), [&](size_t begin, size_t end) ISA_LAMBDA {
    for_outer(shape, last, x.strides, y.strides, begin, end, [&](size_t, size_t at_x, size_t at_y) ISA_LAMBDA {
      const float* from = x.data + at_x;
      float* to = y.data + at_y;
      const size_t x_step = x.strides[last], y_step = y.strides[last];
      if (x_step == 1 && y_step == 1) std::memcpy(to, from, n * sizeof(float));
      else
        for (size_t i = 0; i < n; i++) to[i * y_step] = from[i * x_step];
    });
  });
}

void binary(Binary op, const Shape& shape, const Strided<const float>& a, const Strided<const float>& b, float* y) {
  using namespace arrays_detail;
  switch (op) {
    case Binary::add: return run_binary<Binary::add>(shape, a, b, y);
    case Binary::subtract: return run_binary<Binary::subtract>(shape, a, b, y);
    case Binary::multiply: return run_binary<Binary::multiply>(shape, a, b, y);
    case Binary::divide: return run_binary<Binary::divide>(shape, a, b, y);
    case Binary::maximum: return run_binary<Binary::maximum>(shape, a, b, y);
    case Binary::minimum: return run_binary<Binary::minimum>(shape, a, b, y);
    case Binary::squared_difference: return run_binary<Binary::squared_difference>(shape, a, b, y);
    case Binary::count: return;
  }
}

void unary(Unary op, const float* x, float* y, size_t count) {
  using namespace arrays_detail;
  switch (op) {
    case Unary::absolute: return run_unary<Unary::absolute>(x, y, count);
    case Unary::cosine: return run_unary<Unary::cosine>(x, y, count);
    case Unary::error_function: return run_unary<Unary::error_function>(x, y, count);
    case Unary::exponential: return run_unary<Unary::exponential>(x, y, count);
    case Unary::logarithm: return run_unary<Unary::logarithm>(x, y, count);
    case Unary::negative: return run_unary<Unary::negative>(x, y, count);
    case Unary::reciprocal: return run_unary<Unary::reciprocal>(x, y, count);
    case Unary::relu: return run_unary<Unary::relu>(x, y, count);
    case Unary::reciprocal_root: return run_unary<Unary::reciprocal_root>(x, y, count);
    case Unary::sigmoid: return run_unary<Unary::sigmoid>(x, y, count);
    case Unary::sine: return run_unary<Unary::sine>(x, y, count);
    case Unary::root: return run_unary<Unary::root>(x, y, count);
    case Unary::square: return run_unary<Unary::square>(x, y, count);
    case Unary::tangent_h: return run_unary<Unary::tangent_h>(x, y, count);
    case Unary::count: return;
  }
}

void reduce(Reduction op, size_t outer, size_t n, size_t inner, const float* x, float* y, float scale) {
  using namespace arrays_detail;
  switch (op) {
    case Reduction::sum: return run_reduce<Reduction::sum>(outer, n, inner, x, y, scale);
    case Reduction::maximum: return run_reduce<Reduction::maximum>(outer, n, inner, x, y, scale);
    case Reduction::minimum: return run_reduce<Reduction::minimum>(outer, n, inner, x, y, scale);
    case Reduction::count: return;
  }
}

void softmax(size_t rows, size_t n, const float* x, float* y) {
  using namespace arrays_detail;
  parallel_ranges(rows, std::max<size_t>(1, TASK / 4 / (n + 1)), [&](size_t begin, size_t end) ISA_LAMBDA {
    for (size_t r = begin; r < end; r++) {
      const float* from = x + r * n;
      float* to = y + r * n;
      const float largest = static_cast<float>(reduce_row<Reduction::maximum>(from, n));
      size_t i = 0;
      for (; i + LANES <= n; i += LANES) store(to + i, exp(load(from + i) - largest));
      if (i < n) store_partial(to + i, exp(load_partial(from + i, n - i) - largest), n - i);
      const float share = static_cast<float>(1 / reduce_row<Reduction::sum>(to, n));
      for (i = 0; i + LANES <= n; i += LANES) store(to + i, load(to + i) * share);
      for (; i < n; i++) to[i] *= share;
    }
  });
}

void cumulative_sum(size_t outer, size_t n, size_t inner, const float* x, float* y, bool exclusive, bool reverse) {
  if (n == 0) return;
  constexpr size_t WIDTH = 64;
  const size_t pieces = (inner + WIDTH - 1) / WIDTH;
  parallel_for(outer * pieces, [&](size_t task) ISA_LAMBDA {
    const size_t first = task % pieces * WIDTH, width = std::min(WIDTH, inner - first);
    const size_t base = task / pieces * n * inner + first;
    double totals[WIDTH] = {};
    for (size_t step = 0; step < n; step++) {
      const size_t at = base + (reverse ? n - 1 - step : step) * inner;
      for (size_t i = 0; i < width; i++) {
        const double before = totals[i];
        totals[i] += x[at + i];
        y[at + i] = static_cast<float>(exclusive ? before : totals[i]);
      }
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
