#include "isa_begin.h"

// What every processor of the architecture has: SSE2 on x86-64, NEON on arm64.
#define ISA base
#define VECTOR_BYTES 16
#ifdef PROTEIN_LM_X86
#define VECTOR_REGISTERS 16
#else
#define VECTOR_REGISTERS 32
#endif
#include "kernels.inl"
