// The model's operations, each forward and backward. Sizes are checked by whoever calls: bindings.cc.
// Matrices are contiguous and row-major; results are the same bits for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace protein_lm {

// Dropout by the counter hash of the element's index (lowbias32): kept where hash >= threshold, then scaled.
struct Dropout {
  bool active = false;
  uint32_t offset = 0;     // seed * 0x9e3779b9, added to the index
  uint32_t threshold = 0;  // smallest hash that is kept
  bool all = false;        // rate so near 1 that nothing is kept
  float scale = 1;

  Dropout() = default;
  Dropout(double rate, uint32_t seed);
};

// sum [rows, width] = x + dropout(residual); normed = LayerNorm(sum) * gamma + beta. Without a residual, sum is null.
// moments [rows, 2]: mean and 1 / standard deviation, for the gradient.
struct LayerNorm {
  size_t rows, width;
  const float *x, *residual, *gamma, *beta;
  float *sum, *normed, *moments;
  float epsilon;
  Dropout dropout;
};

// dx = dsum + LayerNorm's gradient; dsum and dresidual may be null. `x` is the forward's sum.
struct LayerNormGrad {
  size_t rows, width;
  const float *dsum, *dnormed, *x, *gamma, *moments;
  float *dx, *dresidual, *dgamma, *dbeta;
  Dropout dropout;
};

// x [batch, length, width] = word[id] * scale + position[pad + running count of kept tokens]; pads give zero rows.
struct TokenEmbedding {
  size_t batch, length, width, vocabulary, positions;
  const int32_t* ids;
  const float *word, *position;  // position may be null
  float* x;
  int32_t pad, mask;
  bool token_dropout;
};
struct TokenEmbeddingGrad {
  size_t batch, length, width, vocabulary, positions;
  const float* dy;
  const int32_t* ids;
  float *dword, *dposition;
  int32_t pad, mask;
  bool token_dropout;
};

// Turns queries and keys of qkv [batch, length, 3 * heads * size], values are copied.
struct Rotary {
  size_t batch, length, heads, size;
  const float *qkv, *frequencies;
  float* y;
  bool inverse;
};

// Shape of an attention over qkv [batch, length, 3, heads, size] with keep [batch, length] of 0 and 1.
struct AttentionShape {
  size_t batch, length, heads, size;
};

// Attention from features of a kernel.
struct Favor {
  AttentionShape shape;
  size_t features;          // equals shape.size without a projection
  const float *qkv, *keep;
  const float* projection;  // [features, size] or null
  float epsilon;
  bool causal;
};
// out [batch, length, heads, size]; denominators [batch, heads, length], for the gradient.
struct FavorForward : Favor {
  float *out, *denominators;
};
struct FavorBackward : Favor {
  const float *dy, *out, *denominators;
  float* dqkv;
};
// peaks [batch, heads]: the largest projection of a kept key; places [batch, heads, 2]: its position and its feature,
// -1 and 0 where no key is kept. Causal: peaks [batch, heads, length], the largest weight so far, and no places. Both for
// the gradient.
struct FavorSoftmaxForward : FavorForward {
  float* peaks;
  int32_t* places;
};
struct FavorSoftmaxBackward : FavorBackward {
  const float* peaks;
  const int32_t* places;
};

struct SoftmaxAttention {
  AttentionShape shape;
  const float *qkv, *keep;
  bool causal;
};
// logsumexp [batch, heads, length], for the gradient.
struct SoftmaxAttentionForward : SoftmaxAttention {
  float *out, *logsumexp;
};
struct SoftmaxAttentionBackward : SoftmaxAttention {
  const float *dy, *out, *logsumexp;
  float* dqkv;
};

struct LshAttention {
  AttentionShape shape;
  size_t hashes, rotations_per_hash, chunk_length;
  const float *qkv, *keep;
  const float* rotations;  // [hashes, rotations_per_hash, size]
  bool causal;
};
// order [batch, heads, hashes, length]: positions as sorted; peaks and totals [batch, heads, length]: the largest score
// of all rounds, and the sum of exp(score - peak). All three are for the gradient.
struct LshAttentionForward : LshAttention {
  float* out;
  int32_t* order;
  float *peaks, *totals;
};
struct LshAttentionBackward : LshAttention {
  const float *dy, *out;
  const int32_t* order;
  const float *peaks, *totals;
  float* dqkv;
};

// y [count, width] = x[indices], and its gradient, where equal indices add up.
struct GatherRows {
  size_t rows, count, width;
  const float* x;
  const int32_t* indices;
  float* y;
};
struct GatherRowsGrad {
  size_t rows, count, width;
  const float* dy;
  const int32_t* indices;
  float* dx;
};

// loss = sum of weight * (logsumexp(logits) - logits[label]); correct = rows of positive weight whose first largest
// logit is the label.
struct CrossEntropy {
  size_t rows, classes;
  const float* logits;
  const int32_t* labels;
  const float* weights;
  float *loss, *correct, *logsumexp;
};
struct CrossEntropyGrad {
  size_t rows, classes;
  const float *logits, *weights, *logsumexp;
  const int32_t* labels;
  float dloss;
  float* dlogits;
};

struct AdamWTensor {
  float *parameter, *first, *second;
  const float* gradient;
  size_t count;
  float weight_decay;
};
// One AdamW update in place, after a clip by the global norm; `norm` is the norm before the clip.
struct AdamW {
  const AdamWTensor* tensors;
  size_t count;
  double learning_rate, correction1, correction2, beta1, beta2, epsilon, max_norm;
  float* norm;
};

PER_ISA(
  void layer_norm(const LayerNorm& op);
  void layer_norm_grad(const LayerNormGrad& op);
  void token_embedding(const TokenEmbedding& op);
  void token_embedding_grad(const TokenEmbeddingGrad& op);
  void rotary(const Rotary& op);
  void favor_relu(const FavorForward& op);
  void favor_relu_grad(const FavorBackward& op);
  void favor_softmax(const FavorSoftmaxForward& op);
  void favor_softmax_grad(const FavorSoftmaxBackward& op);
  void softmax_attention(const SoftmaxAttentionForward& op);
  void softmax_attention_grad(const SoftmaxAttentionBackward& op);
  void lsh_attention(const LshAttentionForward& op);
  void lsh_attention_grad(const LshAttentionBackward& op);
  void gather_rows(const GatherRows& op);
  void gather_rows_grad(const GatherRowsGrad& op);
  void cross_entropy(const CrossEntropy& op);
  void cross_entropy_grad(const CrossEntropyGrad& op);
  void adamw(const AdamW& op);
  void gelu_grad(const float* pre_activation, const float* dy, float* dx, size_t count);
)

}  // namespace protein_lm
