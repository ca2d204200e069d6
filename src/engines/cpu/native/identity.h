// Letters that rows of an alignment have in common. Sizes are checked by whoever calls: identity_node.cc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace protein_lm {

// counts[i] = rows j, i among them, with at least needed[i] places where row i of a and row j of b are equal. That
// number must be the same for (i, j) and (j, i): a and b hold the same letters, but for those that nothing is equal to.
struct IdentityCounts {
  size_t depth, stride;     // stride is a multiple of IDENTITY_BLOCK
  const uint8_t *a, *b;     // [depth, stride]
  const int32_t* needed;    // [depth]
  int32_t* counts;          // [depth]
};

// Bytes that are compared at once.
constexpr size_t IDENTITY_BLOCK = 64;

PER_ISA(void identity_counts(const IdentityCounts& op);)

}  // namespace protein_lm
