#include "addon.h"

#include <atomic>

#include "isa.h"
#include "node_args.h"
#include "thread_pool.h"

namespace protein_lm {
namespace {

napi_value get_threads(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_uint32(env, static_cast<uint32_t>(threads()), &result);
  return result;
}

napi_value set_threads_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const size_t count = args.size(0, "threads");
  if (args.ok() && (count < 1 || count > 1024)) args.fail("threads must be from 1 to 1024");
  if (args.ok()) set_threads(count);
  return nullptr;
}

napi_value get_instruction_set(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_string_utf8(env, isa_name(), NAPI_AUTO_LENGTH, &result);
  return result;
}

napi_value set_instruction_set(napi_env env, napi_callback_info info) {
  Args args(env, info);
  const std::string name = args.text(0, "instruction set");
  if (args.ok() && !set_isa(name.c_str())) args.fail("this processor has no " + name);
  return nullptr;
}

// Main thread and Worker threads of one process share the pool: the last one to leave ends its threads.
std::atomic<int> environments{0};

}  // namespace
}  // namespace protein_lm

NAPI_MODULE_INIT() {
  using namespace protein_lm;
  environments.fetch_add(1);
  napi_add_env_cleanup_hook(
      env,
      [](void*) {
        if (environments.fetch_sub(1) == 1) stop_threads();
      },
      nullptr);
  export_function<get_threads>(env, exports, "threads");
  export_function<set_threads_from_js>(env, exports, "setThreads");
  export_function<get_instruction_set>(env, exports, "instructionSet");
  export_function<set_instruction_set>(env, exports, "setInstructionSet");
  export_arrays(env, exports);
  export_gemm(env, exports);
  export_identity(env, exports);
  export_memory(env, exports);
  export_operations(env, exports);
  return exports;
}
