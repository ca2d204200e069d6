// Memory a kernel works in, one buffer a thread and slot, kept and grown from call to call.
#pragma once

#include <cstddef>

namespace protein_lm {

// Buffers that live at the same time in one thread take different slots.
enum class Scratch { gemm_a, gemm_b, gemm_partial, kernel, kernel2, kernel3, kernel4, count };

// At least `bytes`, aligned to 64, uninitialised; valid in this thread until it asks for the same slot again.
void* scratch(Scratch slot, size_t bytes);

template <typename T = float>
T* scratch_of(Scratch slot, size_t count) {
  return static_cast<T*>(scratch(slot, count * sizeof(T)));
}

}  // namespace protein_lm
