#include "isa.h"

#include <atomic>
#include <cstring>
#include <initializer_list>

namespace protein_lm {
namespace {

bool supports(Isa isa) {
#ifdef PROTEIN_LM_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (isa) {
    case Isa::base: return true;
    case Isa::avx2: return avx2;
    case Isa::avx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
#else
  return isa == Isa::base;
#endif
}

Isa best() { return supports(Isa::avx512) ? Isa::avx512 : supports(Isa::avx2) ? Isa::avx2 : Isa::base; }

std::atomic<Isa>& current() {
  static std::atomic<Isa> value{best()};
  return value;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx512: return "avx512";
    case Isa::avx2: return "avx2";
    case Isa::base: break;
  }
#if defined(__aarch64__)
  return "neon";
#elif defined(__x86_64__) || defined(_M_X64)
  return "sse2";
#else
  return "generic";
#endif
}

}  // namespace

Isa isa() { return current().load(std::memory_order_relaxed); }

const char* isa_name() { return name_of(isa()); }

bool set_isa(const char* name) {
  for (Isa candidate : {Isa::base, Isa::avx2, Isa::avx512}) {
    if (std::strcmp(name, name_of(candidate)) != 0 || !supports(candidate)) continue;
    current().store(candidate, std::memory_order_relaxed);
    return true;
  }
  return false;
}

}  // namespace protein_lm
