#include "scratch.h"

#include <cstdint>
#include <cstdlib>

namespace protein_lm {
namespace {

constexpr size_t ALIGNMENT = 64;

struct Buffer {
  void* memory = nullptr;
  size_t bytes = 0;

  ~Buffer() { std::free(memory); }

  void* at_least(size_t wanted) {
    if (wanted > bytes) {
      std::free(memory);
      bytes = wanted + wanted / 4;
      memory = std::malloc(bytes + ALIGNMENT);
      if (memory == nullptr) std::abort();
    }
    const auto address = reinterpret_cast<uintptr_t>(memory);
    return reinterpret_cast<void*>((address + ALIGNMENT - 1) & ~(ALIGNMENT - 1));
  }
};

}  // namespace

void* scratch(Scratch slot, size_t bytes) {
  static thread_local Buffer buffers[static_cast<size_t>(Scratch::count)];
  return buffers[static_cast<size_t>(slot)].at_least(bytes == 0 ? 1 : bytes);
}

}  // namespace protein_lm
