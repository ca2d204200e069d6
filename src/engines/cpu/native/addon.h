// Each group of functions that JavaScript sees is registered by one function, called from addon.cc.
#pragma once

#include <node_api.h>

namespace protein_lm {

void export_arrays(napi_env env, napi_value exports);
void export_gemm(napi_env env, napi_value exports);
void export_identity(napi_env env, napi_value exports);
void export_memory(napi_env env, napi_value exports);
void export_operations(napi_env env, napi_value exports);

}  // namespace protein_lm
