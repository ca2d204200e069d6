#include "isa_begin.h"

#ifdef PROTEIN_LM_X86

#define ISA avx2
#define ISA_AVX2 1
#define VECTOR_BYTES 32
#define VECTOR_REGISTERS 16
#define ISA_TARGET "avx2,fma"
#include "kernels.inl"

#endif
