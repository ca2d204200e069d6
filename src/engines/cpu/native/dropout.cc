#include <cmath>

#include "kernels.h"

namespace protein_lm {

Dropout::Dropout(double rate, uint32_t seed)
    : active(rate > 0), offset(seed * 0x9e3779b9u), scale(static_cast<float>(1 / (1 - rate))) {
  const double smallest = std::ceil(rate * 4294967296.0);
  all = smallest >= 4294967296.0;
  threshold = all ? 0 : static_cast<uint32_t>(smallest);
}

}  // namespace protein_lm
