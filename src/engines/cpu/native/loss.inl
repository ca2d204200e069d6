// Masked cross-entropy.

namespace protein_lm {
namespace ISA {

namespace loss_detail {
constexpr size_t ROWS = 64;
}

void cross_entropy(const CrossEntropy& op) {
  using namespace loss_detail;
  const size_t classes = op.classes, blocks = (op.rows + ROWS - 1) / ROWS;
  double* partial = scratch_of<double>(Scratch::kernel, 2 * blocks + 1);
  parallel_for(blocks, [&](size_t block) ISA_LAMBDA {
    double loss = 0, correct = 0;
    const size_t end = std::min(op.rows, (block + 1) * ROWS);
    for (size_t row = block * ROWS; row < end; row++) {
      const float* logits = op.logits + row * classes;
      const size_t label = static_cast<size_t>(op.labels[row]);
      size_t best = 0;
      for (size_t i = 1; i < classes; i++)
        if (logits[i] > logits[best]) best = i;
      const float largest = logits[best];
      double total = 0;
      size_t i = 0;
      Vec sums = zero();
      for (; i + LANES <= classes; i += LANES) sums += exp(load(logits + i) - largest);
      if (i < classes) {
        float tail[LANES];
        store(tail, exp(load_partial(logits + i, classes - i) - largest));
        for (size_t j = 0; i + j < classes; j++) total += tail[j];
      }
      total += sum(sums);
      const double logsumexp = largest + std::log(total);
      op.logsumexp[row] = static_cast<float>(logsumexp);
      if (op.weights[row] != 0) loss += op.weights[row] * (logsumexp - logits[label]);
      correct += op.weights[row] > 0 && best == label;
    }
    partial[2 * block] = loss;
    partial[2 * block + 1] = correct;
  });
  double loss = 0, correct = 0;
  for (size_t block = 0; block < blocks; block++) {
    loss += partial[2 * block];
    correct += partial[2 * block + 1];
  }
  *op.loss = static_cast<float>(loss);
  *op.correct = static_cast<float>(correct);
}

void cross_entropy_grad(const CrossEntropyGrad& op) {
  using namespace loss_detail;
  const size_t classes = op.classes;
  parallel_ranges(op.rows, ROWS, [&](size_t begin, size_t end) ISA_LAMBDA {
    for (size_t row = begin; row < end; row++) {
      const float* logits = op.logits + row * classes;
      float* d = op.dlogits + row * classes;
      const float weight = op.weights[row] * op.dloss, logsumexp = op.logsumexp[row];
      if (weight == 0) {
        std::memset(d, 0, classes * sizeof(float));
        continue;
      }
      size_t i = 0;
      for (; i + LANES <= classes; i += LANES) store(d + i, exp(load(logits + i) - logsumexp) * weight);
      if (i < classes) {
        const size_t rest = classes - i;
        store_partial(d + i, exp(load_partial(logits + i, rest) - logsumexp) * weight, rest);
      }
      d[op.labels[row]] -= weight;
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
