#include "scratch.h"

#include <atomic>
#include <cstdlib>

namespace protein_lm {
namespace {

constexpr size_t ALIGNMENT = 64;

std::atomic<size_t> held{0};
std::atomic<size_t> limit{SIZE_MAX};

struct Buffer {
  void* memory = nullptr;
  size_t bytes = 0;

  ~Buffer() { release(); }

  void release() {
    std::free(memory);
    held.fetch_sub(bytes);
    memory = nullptr;
    bytes = 0;
  }

  // Whether it has got so many.
  bool take(size_t wanted) {
    const size_t before = held.fetch_add(wanted);
    const size_t most = limit.load();
    if (before <= most && wanted <= most - before) memory = std::malloc(wanted);
    if (memory == nullptr) {
      held.fetch_sub(wanted);
      return false;
    }
    bytes = wanted;
    return true;
  }

  void* at_least(size_t wanted) {
    if (wanted > SIZE_MAX / 2) throw OutOfMemory{wanted};
    wanted += ALIGNMENT;
    if (wanted > bytes) {
      release();
      // Some more, so that a sequence that is a little longer fits as well.
      if (!take(wanted + wanted / 4) && !take(wanted)) throw OutOfMemory{wanted};
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

size_t scratch_bytes() { return held.load(); }
void set_scratch_limit(size_t bytes) { limit.store(bytes); }

}  // namespace protein_lm
