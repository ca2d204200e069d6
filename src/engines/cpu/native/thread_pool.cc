#include "thread_pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "scratch.h"

namespace protein_lm {
namespace {

// A step's kernels follow each other within some ten microseconds: workers that spin that long save the wake-up
// (up to 50 µs), and a pool that has nothing to do sleeps.
constexpr std::chrono::microseconds SPIN{60};

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside_task = false;

class Pool {
 public:
  explicit Pool(size_t count) {
    for (size_t i = 1; i < count; i++) workers_.emplace_back([this] { work(); });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      epoch_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  size_t size() const { return workers_.size() + 1; }

  void run(size_t count, detail::Task task, void* context) {
    task_ = task;
    context_ = context;
    count_ = count;
    missing_.store(0, std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    open_.store(true);
    epoch_.fetch_add(1);
    if (sleeping_.load() > 0) {
      // The lock orders this wake-up after the sleeper's last look at the epoch.
      { std::lock_guard<std::mutex> lock(mutex_); }
      if (count - 1 < workers_.size()) {
        for (size_t i = 1; i < count; i++) wake_.notify_one();
      } else {
        wake_.notify_all();
      }
    }
    claim();
    open_.store(false);
    for (unsigned spins = 0; active_.load() != 0; spins++) {
      if (spins < 256) relax();
      else std::this_thread::yield();
    }
    if (const size_t missing = missing_.load()) throw OutOfMemory{missing};
  }

 private:
  void claim() {
    inside_task = true;
    try {
      for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) task_(context_, i);
    } catch (const OutOfMemory& error) {
      missing_.store(error.bytes);
      next_.store(count_, std::memory_order_relaxed);
    }
    inside_task = false;
  }

  // A worker announces itself before it looks whether the job is open, and the caller closes the job before it looks
  // for workers: one of the two sees the other, so no worker touches a job that its caller has left.
  void join_job() {
    active_.fetch_add(1);
    if (open_.load()) claim();
    active_.fetch_sub(1);
  }

  void work() {
    unsigned seen = 0;
    while (!stop_) {
      const unsigned now = wait(seen);
      if (stop_) return;
      seen = now;
      join_job();
    }
  }

  unsigned wait(unsigned seen) {
    const auto until = std::chrono::steady_clock::now() + SPIN;
    do {
      for (int i = 0; i < 64; i++) {
        const unsigned now = epoch_.load();
        if (now != seen) return now;
        relax();
      }
      // Where other processes hold the processors, the one spun on may be the one the caller waits for.
      std::this_thread::yield();
    } while (std::chrono::steady_clock::now() < until);
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1);
    wake_.wait(lock, [&] { return epoch_.load() != seen; });
    sleeping_.fetch_sub(1);
    return epoch_.load();
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stop_{false};
  detail::Task task_ = nullptr;
  void* context_ = nullptr;
  size_t count_ = 0;
  alignas(64) std::atomic<unsigned> epoch_{0};
  std::atomic<unsigned> sleeping_{0};
  alignas(64) std::atomic<bool> open_{false};
  alignas(64) std::atomic<size_t> next_{0};
  alignas(64) std::atomic<unsigned> active_{0};
  // Bytes that a task could not get; 0 where all could.
  std::atomic<size_t> missing_{0};
};

// Held by whoever runs a job; a second caller (another Node thread) does its work alone meanwhile.
std::mutex& owner() {
  static std::mutex mutex;
  return mutex;
}
std::unique_ptr<Pool>& pool() {
  // Never destroyed: at exit, workers end with the process.
  static auto* instance = new std::unique_ptr<Pool>();
  return *instance;
}
std::atomic<size_t> wanted{0};

}  // namespace

size_t threads() {
  const size_t count = wanted.load();
  return count != 0 ? count : default_threads();
}

void set_threads(size_t count) {
  wanted.store(count == 0 ? 1 : count);
  stop_threads();
}

void stop_threads() {
  std::lock_guard<std::mutex> lock(owner());
  pool().reset();
}

void detail::run(size_t count, Task task, void* context) {
  std::unique_lock<std::mutex> lock(owner(), std::defer_lock);
  if (inside_task || !lock.try_lock()) {
    for (size_t i = 0; i < count; i++) task(context, i);
    return;
  }
  if (!pool()) pool() = std::make_unique<Pool>(threads());
  pool()->run(count, task, context);
}

}  // namespace protein_lm
