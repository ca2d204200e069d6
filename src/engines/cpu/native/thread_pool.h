// The one pool of threads that all kernels share.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace protein_lm {

// Threads that work, the caller included. The first use starts default_threads() of them.
size_t threads();
// From 1; joins the old workers. Call it from the thread that runs kernels.
void set_threads(size_t count);
// Physical cores that this process may use: affinity, cgroup limit, no hyperthreads.
size_t default_threads();
// Joins all workers; the next parallel_for starts them again.
void stop_threads();

namespace detail {
using Task = void (*)(void* context, size_t index);
void run(size_t count, Task task, void* context);
}  // namespace detail

// Runs f(0) … f(count - 1), each once, on all threads, and returns when all are done. Which thread runs which index
// is left to timing, so f(i) may depend on i only; then results are the same bits for any number of threads. Split work
// into pieces by its shape (never by threads() where the pieces' sums are added up). A call from inside f runs serially.
// Where an f throws OutOfMemory, so does the call, once all threads have stopped; others may not have run.
template <typename F>
void parallel_for(size_t count, F&& f) {
  using Function = std::remove_reference_t<F>;
  if (count == 1) {
    f(size_t{0});
  } else if (count > 1) {
    detail::run(
        count, [](void* context, size_t index) { (*static_cast<Function*>(context))(index); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }
}

// f(begin, end) over pieces of [0, count) of `grain` elements, the last one shorter.
template <typename F>
void parallel_ranges(size_t count, size_t grain, F&& f) {
  if (grain == 0) grain = 1;
  parallel_for((count + grain - 1) / grain, [&](size_t i) {
    const size_t begin = i * grain;
    f(begin, count - begin < grain ? count : begin + grain);
  });
}

}  // namespace protein_lm
