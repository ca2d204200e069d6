// What tfjs's own operations need: arrays of any rank, seen through strides. Sizes are checked by arrays_node.cc.
#pragma once

#include <cstddef>

#include "isa.h"

namespace protein_lm {

constexpr size_t MAX_RANK = 12;

struct Shape {
  size_t rank = 0;
  size_t dims[MAX_RANK];

  size_t elements() const {
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= dims[i];
    return count;
  }
};

// An array of a Shape: element (i, j, …) is data[i * strides[0] + j * strides[1] + …].
template <typename T>
struct Strided {
  T* data;
  size_t strides[MAX_RANK];
};

enum class Binary { add, subtract, multiply, divide, maximum, minimum, squared_difference, count };
enum class Unary {
  absolute, cosine, error_function, exponential, logarithm, negative, reciprocal, relu, reciprocal_root, sigmoid, sine,
  root, square, tangent_h, count
};
enum class Reduction { sum, maximum, minimum, count };

PER_ISA(
  // y = x, elementwise over the shape.
  void copy_strided(const Shape& shape, const Strided<const float>& x, const Strided<float>& y);
  // y, contiguous, = a op b; a stride of 0 repeats.
  void binary(Binary op, const Shape& shape, const Strided<const float>& a, const Strided<const float>& b, float* y);
  void unary(Unary op, const float* x, float* y, size_t count);
  // y [outer, inner] = x [outer, n, inner] reduced over n, times scale.
  void reduce(Reduction op, size_t outer, size_t n, size_t inner, const float* x, float* y, float scale);
  void softmax(size_t rows, size_t n, const float* x, float* y);
  // y [outer, n, inner]: sums of x along n up to each place, or after it.
  void cumulative_sum(size_t outer, size_t n, size_t inner, const float* x, float* y, bool exclusive, bool reverse);
)

}  // namespace protein_lm
