// AdamW in place, after a clip by the global norm.

namespace protein_lm {
namespace ISA {

namespace adamw_detail {

constexpr size_t BLOCK = 16384;  // elements of a task
constexpr size_t RUN = 1024;     // squares added up in float32 before they go to double

struct Piece {
  const AdamWTensor* tensor;
  size_t begin, end;
};

double squares(const float* x, size_t count) {
  double total = 0;
  for (size_t begin = 0; begin < count; begin += RUN) {
    const size_t end = std::min(count, begin + RUN);
    Vec a = zero(), b = zero();
    size_t i = begin;
    for (; i + 2 * LANES <= end; i += 2 * LANES) {
      const Vec u = load(x + i), v = load(x + i + LANES);
      a += u * u;
      b += v * v;
    }
    for (; i < end; i += LANES) {
      const Vec u = load_partial(x + i, std::min(LANES, end - i));
      a += u * u;
    }
    total += sum(a + b);
  }
  return total;
}

}  // namespace adamw_detail

void adamw(const AdamW& op) {
  using namespace adamw_detail;
  size_t count = 0;
  for (size_t i = 0; i < op.count; i++) count += (op.tensors[i].count + BLOCK - 1) / BLOCK;
  Piece* pieces = scratch_of<Piece>(Scratch::kernel, count + 1);
  double* partial = scratch_of<double>(Scratch::kernel2, count + 1);
  size_t next = 0;
  for (size_t i = 0; i < op.count; i++)
    for (size_t begin = 0; begin < op.tensors[i].count; begin += BLOCK)
      pieces[next++] = {op.tensors + i, begin, std::min(op.tensors[i].count, begin + BLOCK)};
  parallel_for(count, [&](size_t i) ISA_LAMBDA {
    partial[i] = squares(pieces[i].tensor->gradient + pieces[i].begin, pieces[i].end - pieces[i].begin);
  });
  double total = 0;
  for (size_t i = 0; i < count; i++) total += partial[i];
  const double norm = std::sqrt(total);
  *op.norm = static_cast<float>(norm);

  const float clip = static_cast<float>(std::min(1.0, op.max_norm / (norm + 1e-6)));
  const float beta1 = static_cast<float>(op.beta1), beta2 = static_cast<float>(op.beta2);
  const float rest1 = static_cast<float>(1 - op.beta1), rest2 = static_cast<float>(1 - op.beta2);
  const float step = static_cast<float>(op.learning_rate / op.correction1);
  const float root = static_cast<float>(1 / std::sqrt(op.correction2));
  const float epsilon = static_cast<float>(op.epsilon);
  parallel_for(count, [&](size_t i) ISA_LAMBDA {
    const Piece& piece = pieces[i];
    const AdamWTensor& t = *piece.tensor;
    const float decay = static_cast<float>(1 - op.learning_rate * t.weight_decay);
    const auto update = [&](Vec& p, Vec& m, Vec& v, Vec g) ISA_LAMBDA {
      g *= clip;
      m = m * beta1 + g * rest1;
      v = v * beta2 + g * g * rest2;
      p = p * decay - step * m / (sqrt(v) * root + epsilon);
    };
    size_t j = piece.begin;
    for (; j + LANES <= piece.end; j += LANES) {
      Vec p = load(t.parameter + j), m = load(t.first + j), v = load(t.second + j);
      update(p, m, v, load(t.gradient + j));
      store(t.parameter + j, p);
      store(t.first + j, m);
      store(t.second + j, v);
    }
    if (j < piece.end) {
      const size_t n = piece.end - j;
      Vec p = load_partial(t.parameter + j, n), m = load_partial(t.first + j, n), v = load_partial(t.second + j, n);
      update(p, m, v, load_partial(t.gradient + j, n));
      store_partial(t.parameter + j, p, n);
      store_partial(t.first + j, m, n);
      store_partial(t.second + j, v, n);
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
