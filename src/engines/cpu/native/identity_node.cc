// identityCounts as JavaScript calls it.
#include "addon.h"
#include "identity.h"
#include "reader.h"

namespace protein_lm {
namespace {

// identityCounts([depth, stride], a, b, needed, counts)
napi_value identity_counts_from_js(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  IdentityCounts op;
  op.depth = in.size("depth"), op.stride = in.size("stride");
  if (in.ok() && op.stride % IDENTITY_BLOCK != 0)
    in.fail("stride must be a multiple of " + std::to_string(IDENTITY_BLOCK));
  op.a = in.bytes(product({op.depth, op.stride}), "a");
  op.b = in.bytes(product({op.depth, op.stride}), "b");
  op.needed = in.ints(op.depth, "needed");
  op.counts = in.ints(op.depth, "counts");
  if (in.ok()) ISA_CALL(identity_counts)(op);
  return nullptr;
}

}  // namespace

void export_identity(napi_env env, napi_value exports) {
  export_function<identity_counts_from_js>(env, exports, "identityCounts");
}

}  // namespace protein_lm
