// Memory of the tensors' pool: blocks aligned to cache lines, which JavaScript sees as ArrayBuffers.
#include <cstdlib>

#include "addon.h"
#include "node_args.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace protein_lm {
namespace {

constexpr size_t CACHE_LINE = 64;
constexpr size_t HUGE_PAGE = size_t{2} << 20;

void* allocate(size_t bytes) {
  void* memory = nullptr;
  const bool huge = bytes >= 2 * HUGE_PAGE;
  if (posix_memalign(&memory, huge ? HUGE_PAGE : CACHE_LINE, bytes) != 0) return nullptr;
#if defined(__linux__)
  // Whole pages only: the rest of the last one must not be filled with what nobody uses.
  if (huge) madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return memory;
}

// allocate(bytes): an ArrayBuffer, or null when there is no memory left.
napi_value allocate_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t bytes = args.size(0, "bytes");
  if (!args.ok()) return nullptr;
  napi_value result;
  napi_get_null(env, &result);
  void* memory = allocate(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) return result;
  const napi_status status = napi_create_external_arraybuffer(
      env, memory, bytes, [](napi_env, void* data, void*) { std::free(data); }, nullptr, &result);
  if (status != napi_ok) {
    // Some runtimes (Electron) keep all ArrayBuffers in memory of their own.
    std::free(memory);
    napi_create_arraybuffer(env, bytes, &memory, &result);
  }
  return result;
}

// release(buffer): gives the memory back now, instead of at some garbage collection. The buffer is detached.
napi_value release_from_js(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value buffer;
  bool is = false;
  if (napi_get_cb_info(env, info, &count, &buffer, nullptr, nullptr) == napi_ok && count == 1 &&
      napi_is_arraybuffer(env, buffer, &is) == napi_ok && is) {
    napi_detach_arraybuffer(env, buffer);
  }
  return nullptr;
}

napi_value scratch_bytes_from_js(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_double(env, static_cast<double>(scratch_bytes()), &result);
  return result;
}

napi_value set_scratch_limit_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t bytes = args.size(0, "bytes");
  if (args.ok()) set_scratch_limit(bytes);
  return nullptr;
}

}  // namespace

void export_memory(napi_env env, napi_value exports) {
  export_function<allocate_from_js>(env, exports, "allocate");
  export_function<release_from_js>(env, exports, "release");
  export_function<scratch_bytes_from_js>(env, exports, "scratchBytes");
  export_function<set_scratch_limit_from_js>(env, exports, "setScratchLimit");
}

}  // namespace protein_lm
