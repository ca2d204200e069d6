#include "gemm.h"

#include "isa.h"

namespace protein_lm {

PER_ISA(void gemm(const Gemm& g);)

void gemm(const Gemm& g) {
  if (g.m == 0 || g.n == 0 || g.outer == 0 || g.inner == 0) return;
  ISA_CALL(gemm)(g);
}

}  // namespace protein_lm
