// Memory a kernel works in, one buffer a thread and slot, kept and grown from call to call, within one limit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace protein_lm {

// Buffers that live at the same time in one thread take different slots.
enum class Scratch { gemm_a, gemm_b, gemm_partial, kernel, kernel2, kernel3, kernel4, count };

// Thrown where a buffer of so many bytes is past the limit, or cannot be had. The call that asked for it ends with an
// error in JavaScript; a kernel asks before it changes anything in place.
struct OutOfMemory {
  size_t bytes;
};

// At least `bytes`, aligned to 64, uninitialised; valid in this thread until it asks for the same slot again.
void* scratch(Scratch slot, size_t bytes);

template <typename T = float>
T* scratch_of(Scratch slot, size_t count) {
  size_t bytes;
  if (__builtin_mul_overflow(count, sizeof(T), &bytes)) throw OutOfMemory{SIZE_MAX};
  return static_cast<T*>(scratch(slot, bytes));
}

// Bytes of all buffers of all threads, and the most that they may be.
size_t scratch_bytes();
void set_scratch_limit(size_t bytes);

}  // namespace protein_lm
