// Every vector kernel, compiled once an instruction set. Included by kernels_*.cc only.

#ifdef ISA_TARGET
#if defined(__clang__)
#define ISA_PRAGMA_(text) _Pragma(#text)
#define ISA_PRAGMA(text) ISA_PRAGMA_(text)
ISA_PRAGMA(clang attribute push(__attribute__((target(ISA_TARGET))), apply_to = function))
// clang does not hand a pushed target on to lambdas: write `[&](size_t i) ISA_LAMBDA { … }`.
#define ISA_LAMBDA __attribute__((target(ISA_TARGET)))
#else
#define ISA_PRAGMA_(text) _Pragma(#text)
#define ISA_PRAGMA(text) ISA_PRAGMA_(text)
ISA_PRAGMA(GCC target(ISA_TARGET))
#define ISA_LAMBDA
#endif
#else
#define ISA_LAMBDA
#endif

#include "vec.h"
#include "vec_math.h"
#include "tile.inl"

#include "gemm.inl"

#include "adamw.inl"
#include "arrays.inl"
#include "embedding.inl"
#include "favor.inl"
#include "favor_relu.inl"
#include "favor_softmax.inl"
#include "gelu.inl"
#include "identity.inl"
#include "layer_norm.inl"
#include "loss.inl"
#include "lsh_attention.inl"
#include "rotary.inl"
#include "softmax_attention.inl"

#if defined(ISA_TARGET) && defined(__clang__)
#pragma clang attribute pop
#endif
