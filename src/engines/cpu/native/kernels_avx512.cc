#include "isa_begin.h"

#ifdef PROTEIN_LM_X86

#define ISA avx512
#define ISA_AVX512 1
#define VECTOR_BYTES 64
#define VECTOR_REGISTERS 32
#define ISA_TARGET "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#include "kernels.inl"

#endif
