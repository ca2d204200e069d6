// Rotary positions.

namespace protein_lm {
namespace ISA {

void rotary(const Rotary& op) {
  const size_t half = op.size / 2, width = op.heads * op.size, tokens = op.batch * op.length;
  parallel_ranges(op.length, 16, [&](size_t begin, size_t end) ISA_LAMBDA {
    float* cosines = scratch_of(Scratch::kernel2, 2 * half + 1);
    float* sines = cosines + half;
    for (size_t position = begin; position < end; position++) {
      for (size_t i = 0; i < half; i++) {
        const double angle = static_cast<double>(position) * static_cast<double>(op.frequencies[i]);
        cosines[i] = static_cast<float>(std::cos(angle));
        sines[i] = static_cast<float>(op.inverse ? -std::sin(angle) : std::sin(angle));
      }
      for (size_t token = position; token < tokens; token += op.length) {
        const float* x = op.qkv + token * 3 * width;
        float* y = op.y + token * 3 * width;
        for (size_t head = 0; head < 2 * op.heads; head++, x += op.size, y += op.size) {
          for (size_t i = 0; i < half; i++) {
            const float first = x[i], second = x[i + half];
            y[i] = first * cosines[i] - second * sines[i];
            y[i + half] = second * cosines[i] + first * sines[i];
          }
        }
        std::memcpy(y, x, width * sizeof(float));
      }
    }
  });
}

}  // namespace ISA
}  // namespace protein_lm
