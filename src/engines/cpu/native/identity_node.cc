// identityCounts as JavaScript calls it; the order of arguments is that of src/engines/cpu/addon.ts.
#include "addon.h"
#include "identity.h"
#include "node_args.h"

namespace protein_lm {
namespace {

// identityCounts(depth, stride, a, b, needed, counts)
napi_value identity_counts_from_js(napi_env env, napi_callback_info info) {
  Args args(env, info);
  IdentityCounts op;
  op.depth = args.size(0, "depth"), op.stride = args.size(1, "stride");
  const Span<uint8_t> a = args.bytes(2, "a"), b = args.bytes(3, "b");
  const Span<int32_t> needed = args.ints(4, "needed"), counts = args.ints(5, "counts");
  if (args.ok() && op.stride % IDENTITY_BLOCK != 0)
    args.fail("stride must be a multiple of " + std::to_string(IDENTITY_BLOCK));
  if (args.ok()) {
    args.require(a, checked_mul(op.depth, op.stride), "a");
    args.require(b, checked_mul(op.depth, op.stride), "b");
    args.require(needed, op.depth, "needed");
    args.require(counts, op.depth, "counts");
  }
  op.a = a.data, op.b = b.data, op.needed = needed.data, op.counts = counts.data;
  if (args.ok()) ISA_CALL(identity_counts)(op);
  return nullptr;
}

}  // namespace

void export_identity(napi_env env, napi_value exports) {
  export_function(env, exports, "identityCounts", identity_counts_from_js);
}

}  // namespace protein_lm
