// The instruction sets that kernels are compiled for, and the one in use.
//
// Vector kernels live in *.inl files, inside `namespace ISA { … }`. kernels.inl lists them, and kernels_avx512.cc,
// kernels_avx2.cc and kernels_base.cc compile that list once each, with ISA defined as avx512, avx2 and base.
// A header declares a kernel for all of them with PER_ISA, and ISA_CALL picks the one for this processor:
//
//   PER_ISA(void layer_norm(const float* x, float* y, size_t n);)
//   void forward(…) { ISA_CALL(layer_norm)(x, y, n); }
#pragma once

namespace protein_lm {

enum class Isa { base, avx2, avx512 };

// The best one this processor and operating system can run, unless set_isa chose another.
Isa isa();
const char* isa_name();
// False, changing nothing, when the name is unknown or the processor lacks it.
bool set_isa(const char* name);

}  // namespace protein_lm

// A build may ask for the base set alone: one to compile instead of three.
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(PROTEIN_LM_BASE_ONLY)
#define PROTEIN_LM_X86 1
#define PER_ISA(...)                   \
  namespace avx512 { __VA_ARGS__ }     \
  namespace avx2 { __VA_ARGS__ }       \
  namespace base { __VA_ARGS__ }
#define ISA_CALL(function)                                            \
  (::protein_lm::isa() == ::protein_lm::Isa::avx512 ? avx512::function \
   : ::protein_lm::isa() == ::protein_lm::Isa::avx2 ? avx2::function   \
                                                    : base::function)
#else
#define PER_ISA(...) namespace base { __VA_ARGS__ }
#define ISA_CALL(function) (base::function)
#endif
