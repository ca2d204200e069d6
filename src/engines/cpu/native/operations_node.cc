// The model's operations as JavaScript calls them: every array is checked against the sizes, every index against its
// table, before anything is read or written. Arrays come in the order of the contracts in src/ops: inputs, outputs, what
// is saved for the gradient; sizes and attributes in the order of the kernels in src/engines/cpu/kernels.
#include <cmath>
#include <vector>

#include "addon.h"
#include "gemm.h"
#include "kernels.h"
#include "reader.h"

namespace protein_lm {
namespace {

Dropout dropout(Reader& in) {
  const double rate = in.number("dropoutRate"), seed = in.number("dropoutSeed");
  if (in.ok() && !(rate >= 0 && rate < 1)) in.fail("dropoutRate must be at least 0 and below 1");
  if (in.ok() && !(seed >= 0 && seed <= UINT32_MAX && seed == std::floor(seed)))
    in.fail("dropoutSeed must be an unsigned 32-bit integer");
  return in.ok() ? Dropout(rate, static_cast<uint32_t>(seed)) : Dropout();
}

napi_value linear(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t rows = in.size("rows"), inputs = in.size("inputs"), outputs = in.size("outputs");
  Gemm g;
  g.m = rows, g.n = outputs, g.k = inputs;
  g.activation = in.boolean("gelu") ? Activation::gelu : Activation::none;
  g.a = in.floats(product({rows, inputs}), "x"), g.lda = inputs;
  g.b = in.floats(product({outputs, inputs}), "w"), g.ldb = inputs, g.transpose_b = true;
  g.bias = in.optional_floats(outputs, "b");
  g.c = in.floats(product({rows, outputs}), "y"), g.ldc = outputs;
  g.pre_activation = in.optional_floats(product({rows, outputs}), "preActivation");
  if (in.ok()) gemm(g);
  return nullptr;
}

napi_value linear_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const size_t rows = in.size("rows"), inputs = in.size("inputs"), outputs = in.size("outputs");
  const float* dy = in.floats(product({rows, outputs}), "dy");
  const float* x = in.floats(product({rows, inputs}), "x");
  const float* w = in.floats(product({outputs, inputs}), "w");
  in.optional_floats(outputs, "b");
  const float* pre_activation = in.optional_floats(product({rows, outputs}), "preActivation");
  float* dx = in.optional_floats(product({rows, inputs}), "dx");
  float* dw = in.optional_floats(product({outputs, inputs}), "dw");
  float* db = in.optional_floats(outputs, "db");
  float* room = in.optional_floats(product({rows, outputs}), "room");
  if (in.ok() && pre_activation != nullptr && room == nullptr) in.fail("room is needed with preActivation");
  if (in.ok() && db != nullptr && dw == nullptr) in.fail("db comes with dw");
  if (!in.ok()) return nullptr;
  if (pre_activation != nullptr) {
    ISA_CALL(gelu_grad)(pre_activation, dy, room, rows * outputs);
    dy = room;
  }
  if (dx != nullptr) {
    Gemm g;
    g.m = rows, g.n = inputs, g.k = outputs;
    g.a = dy, g.lda = outputs;
    g.b = w, g.ldb = inputs;
    g.c = dx, g.ldc = inputs;
    gemm(g);
  }
  if (dw != nullptr) {
    Gemm g;
    g.m = outputs, g.n = inputs, g.k = rows;
    g.a = dy, g.lda = outputs, g.transpose_a = true;
    g.b = x, g.ldb = inputs;
    g.c = dw, g.ldc = inputs;
    g.row_sums_a = db;
    gemm(g);
  }
  return nullptr;
}

napi_value layer_norm(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  LayerNorm op;
  op.rows = in.size("rows"), op.width = in.positive("width");
  op.epsilon = static_cast<float>(in.number("epsilon"));
  op.dropout = dropout(in);
  const size_t count = product({op.rows, op.width});
  op.x = in.floats(count, "x");
  op.residual = in.optional_floats(count, "residual");
  op.gamma = in.floats(op.width, "gamma");
  op.beta = in.floats(op.width, "beta");
  op.normed = in.floats(count, "normed");
  op.sum = in.optional_floats(count, "sum");
  op.moments = in.floats(checked_mul(2, op.rows), "moments");
  if (in.ok() && op.residual != nullptr && op.sum == nullptr) in.fail("sum is needed with a residual");
  if (in.ok()) ISA_CALL(layer_norm)(op);
  return nullptr;
}

napi_value layer_norm_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  LayerNormGrad op;
  op.rows = in.size("rows"), op.width = in.positive("width");
  op.dropout = dropout(in);
  const size_t count = product({op.rows, op.width});
  op.dsum = in.optional_floats(count, "dsum");
  op.dnormed = in.floats(count, "dnormed");
  op.x = in.floats(count, "sum");
  op.gamma = in.floats(op.width, "gamma");
  op.moments = in.floats(checked_mul(2, op.rows), "moments");
  op.dx = in.floats(count, "dx");
  op.dgamma = in.floats(op.width, "dgamma");
  op.dbeta = in.floats(op.width, "dbeta");
  op.dresidual = in.optional_floats(count, "dresidual");
  if (in.ok()) ISA_CALL(layer_norm_grad)(op);
  return nullptr;
}

// Kept tokens index the vocabulary, and their running count the positions.
void check_tokens(Reader& in, const int32_t* ids, size_t batch, size_t length, size_t vocabulary, size_t positions,
                  int32_t pad, bool with_positions) {
  if (in.ok() && pad < 0) in.fail("padId must be at least 0");
  for (size_t b = 0; in.ok() && b < batch; b++) {
    size_t kept = 0;
    for (size_t l = 0; in.ok() && l < length; l++) {
      const int32_t id = ids[b * length + l];
      if (id == pad) continue;
      kept++;
      if (id < 0 || static_cast<size_t>(id) >= vocabulary)
        in.fail("token id " + std::to_string(id) + " at [" + std::to_string(b) + ", " + std::to_string(l) +
                     "] is outside of the vocabulary of " + std::to_string(vocabulary));
    }
    if (in.ok() && with_positions && kept > 0 && static_cast<size_t>(pad) + kept >= positions)
      in.fail("a sequence of " + std::to_string(kept) + " tokens is longer than the model's " +
                   std::to_string(positions) + " positions allow");
  }
}

napi_value token_embedding(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  TokenEmbedding op;
  op.batch = in.size("batch"), op.length = in.size("length"), op.width = in.size("width");
  op.vocabulary = in.size("vocabulary"), op.positions = in.size("positions");
  op.pad = in.integer("padId"), op.mask = in.integer("maskId"), op.token_dropout = in.boolean("tokenDropout");
  op.ids = in.ints(product({op.batch, op.length}), "ids");
  op.word = in.floats(product({op.vocabulary, op.width}), "word");
  op.position = in.optional_floats(product({op.positions, op.width}), "position");
  op.x = in.floats(product({op.batch, op.length, op.width}), "x");
  check_tokens(in, op.ids, op.batch, op.length, op.vocabulary, op.positions, op.pad, op.position != nullptr);
  if (in.ok()) ISA_CALL(token_embedding)(op);
  return nullptr;
}

napi_value token_embedding_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  TokenEmbeddingGrad op;
  op.batch = in.size("batch"), op.length = in.size("length"), op.width = in.size("width");
  op.vocabulary = in.size("vocabulary"), op.positions = in.size("positions");
  op.pad = in.integer("padId"), op.mask = in.integer("maskId"), op.token_dropout = in.boolean("tokenDropout");
  op.dy = in.floats(product({op.batch, op.length, op.width}), "dy");
  op.ids = in.ints(product({op.batch, op.length}), "ids");
  in.floats(product({op.vocabulary, op.width}), "word");
  const float* position = in.optional_floats(product({op.positions, op.width}), "position");
  op.dword = in.floats(product({op.vocabulary, op.width}), "dword");
  op.dposition = in.optional_floats(product({op.positions, op.width}), "dposition");
  if (in.ok() && (position == nullptr) != (op.dposition == nullptr)) in.fail("dposition comes with position");
  check_tokens(in, op.ids, op.batch, op.length, op.vocabulary, op.positions, op.pad, op.dposition != nullptr);
  if (in.ok()) ISA_CALL(token_embedding_grad)(op);
  return nullptr;
}

AttentionShape attention_shape(Reader& in) {
  AttentionShape shape;
  shape.batch = in.size("batch"), shape.length = in.size("length");
  shape.heads = in.positive("heads"), shape.size = in.positive("headSize");
  return shape;
}
size_t elements(const AttentionShape& shape) {
  return product({shape.batch, shape.length, shape.heads, shape.size});
}
size_t head_rows(const AttentionShape& shape) { return product({shape.batch, shape.heads, shape.length}); }

napi_value rotary(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  const AttentionShape shape = attention_shape(in);
  Rotary op;
  op.batch = shape.batch, op.length = shape.length, op.heads = shape.heads, op.size = shape.size;
  op.inverse = in.boolean("inverse");
  op.qkv = in.floats(checked_mul(3, elements(shape)), "qkv");
  op.frequencies = in.floats(shape.size / 2, "inverseFrequencies");
  op.y = in.floats(checked_mul(3, elements(shape)), "y");
  if (in.ok() && shape.size % 2 != 0) in.fail("the size of a head must be even");
  if (in.ok()) ISA_CALL(rotary)(op);
  return nullptr;
}

void read_favor_sizes(Reader& in, Favor& op) {
  op.shape = attention_shape(in);
  op.features = in.positive("features");
  op.epsilon = static_cast<float>(in.number("epsilon"));
  op.causal = in.boolean("causal");
}

void read_favor_inputs(Reader& in, Favor& op, bool projected) {
  op.qkv = in.floats(checked_mul(3, elements(op.shape)), "qkv");
  op.keep = in.floats(product({op.shape.batch, op.shape.length}), "keep");
  const size_t weights = product({op.features, op.shape.size});
  op.projection = projected ? in.floats(weights, "projection") : in.optional_floats(weights, "projection");
  if (in.ok() && op.projection == nullptr && op.features != op.shape.size)
    in.fail("without a projection there are as many features as a head is wide");
}

void read_favor_forward(Reader& in, FavorForward& op, bool projected) {
  read_favor_sizes(in, op);
  read_favor_inputs(in, op, projected);
  op.out = in.floats(elements(op.shape), "out");
  op.denominators = in.floats(head_rows(op.shape), "denominators");
}

void read_favor_backward(Reader& in, FavorBackward& op, bool projected) {
  read_favor_sizes(in, op);
  op.dy = in.floats(elements(op.shape), "dy");
  read_favor_inputs(in, op, projected);
  op.out = in.floats(elements(op.shape), "out");
  op.denominators = in.floats(head_rows(op.shape), "denominators");
}

napi_value favor_relu(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  FavorForward op;
  read_favor_forward(in, op, false);
  if (in.ok()) ISA_CALL(favor_relu)(op);
  return nullptr;
}

napi_value favor_relu_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  FavorBackward op;
  read_favor_backward(in, op, false);
  in.optional_floats(0, "sums");
  op.dqkv = in.floats(checked_mul(3, elements(op.shape)), "dqkv");
  if (in.ok()) ISA_CALL(favor_relu_grad)(op);
  return nullptr;
}

size_t head_count(const AttentionShape& shape) { return product({shape.batch, shape.heads}); }

size_t peak_count(const Favor& op) { return op.causal ? head_rows(op.shape) : head_count(op.shape); }

napi_value favor_softmax(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  FavorSoftmaxForward op;
  read_favor_forward(in, op, true);
  op.peaks = in.floats(peak_count(op), "peaks");
  op.places = in.ints(checked_mul(2, head_count(op.shape)), "places");
  if (in.ok()) ISA_CALL(favor_softmax)(op);
  return nullptr;
}

napi_value favor_softmax_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  FavorSoftmaxBackward op;
  read_favor_backward(in, op, true);
  op.peaks = in.floats(peak_count(op), "peaks");
  const int32_t* places = op.places = in.ints(checked_mul(2, head_count(op.shape)), "places");
  op.dqkv = in.floats(checked_mul(3, elements(op.shape)), "dqkv");
  for (size_t head = 0; in.ok() && !op.causal && head < head_count(op.shape); head++) {
    const int64_t position = places[2 * head], feature = places[2 * head + 1];
    if (position >= static_cast<int64_t>(op.shape.length) || feature < 0 ||
        feature >= static_cast<int64_t>(op.features))
      in.fail("places must be positions below length and features");
  }
  if (in.ok()) ISA_CALL(favor_softmax_grad)(op);
  return nullptr;
}

void read_softmax_sizes(Reader& in, SoftmaxAttention& op) {
  op.shape = attention_shape(in);
  op.causal = in.boolean("causal");
}

void read_softmax_inputs(Reader& in, SoftmaxAttention& op) {
  op.qkv = in.floats(checked_mul(3, elements(op.shape)), "qkv");
  op.keep = in.floats(product({op.shape.batch, op.shape.length}), "keep");
}

napi_value softmax_attention(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  SoftmaxAttentionForward op;
  read_softmax_sizes(in, op);
  read_softmax_inputs(in, op);
  op.out = in.floats(elements(op.shape), "out");
  op.logsumexp = in.floats(head_rows(op.shape), "logsumexp");
  if (in.ok()) ISA_CALL(softmax_attention)(op);
  return nullptr;
}

napi_value softmax_attention_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  SoftmaxAttentionBackward op;
  read_softmax_sizes(in, op);
  op.dy = in.floats(elements(op.shape), "dy");
  read_softmax_inputs(in, op);
  op.out = in.floats(elements(op.shape), "out");
  op.logsumexp = in.floats(head_rows(op.shape), "logsumexp");
  op.dqkv = in.floats(checked_mul(3, elements(op.shape)), "dqkv");
  if (in.ok()) ISA_CALL(softmax_attention_grad)(op);
  return nullptr;
}

void read_lsh_sizes(Reader& in, LshAttention& op) {
  op.shape = attention_shape(in);
  op.hashes = in.positive("hashes"), op.rotations_per_hash = in.positive("rotationsPerHash");
  op.chunk_length = in.positive("chunkLength");
  op.causal = in.boolean("causal");
  if (in.ok() && op.shape.length > INT32_MAX) in.fail("length must be a 32-bit integer");
}

void read_lsh_inputs(Reader& in, LshAttention& op) {
  op.qkv = in.floats(checked_mul(3, elements(op.shape)), "qkv");
  op.keep = in.floats(product({op.shape.batch, op.shape.length}), "keep");
  op.rotations = in.floats(product({op.hashes, op.rotations_per_hash, op.shape.size}), "rotations");
}

napi_value lsh_attention(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  LshAttentionForward op;
  read_lsh_sizes(in, op);
  read_lsh_inputs(in, op);
  op.out = in.floats(elements(op.shape), "out");
  op.order = in.ints(checked_mul(head_rows(op.shape), op.hashes), "order");
  op.peaks = in.floats(head_rows(op.shape), "peaks");
  op.totals = in.floats(head_rows(op.shape), "totals");
  if (in.ok()) ISA_CALL(lsh_attention)(op);
  return nullptr;
}

napi_value lsh_attention_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  LshAttentionBackward op;
  read_lsh_sizes(in, op);
  const size_t places = checked_mul(head_rows(op.shape), op.hashes);
  op.dy = in.floats(elements(op.shape), "dy");
  read_lsh_inputs(in, op);
  op.out = in.floats(elements(op.shape), "out");
  op.order = in.ints(places, "order");
  op.peaks = in.floats(head_rows(op.shape), "peaks");
  op.totals = in.floats(head_rows(op.shape), "totals");
  op.dqkv = in.floats(checked_mul(3, elements(op.shape)), "dqkv");
  in.check_indices(op.order, places, op.shape.length, "order");
  if (in.ok()) ISA_CALL(lsh_attention_grad)(op);
  return nullptr;
}

napi_value gather_rows(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  GatherRows op;
  op.rows = in.size("rows"), op.count = in.size("count"), op.width = in.size("width");
  op.x = in.floats(product({op.rows, op.width}), "x");
  op.indices = in.ints(op.count, "indices");
  op.y = in.floats(product({op.count, op.width}), "y");
  in.check_indices(op.indices, op.count, op.rows, "indices");
  if (in.ok()) ISA_CALL(gather_rows)(op);
  return nullptr;
}

napi_value gather_rows_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  GatherRowsGrad op;
  op.rows = in.size("rows"), op.count = in.size("count"), op.width = in.size("width");
  op.dy = in.floats(product({op.count, op.width}), "dy");
  op.indices = in.ints(op.count, "indices");
  op.dx = in.floats(product({op.rows, op.width}), "dx");
  in.check_indices(op.indices, op.count, op.rows, "indices");
  if (in.ok()) ISA_CALL(gather_rows_grad)(op);
  return nullptr;
}

napi_value cross_entropy(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  CrossEntropy op;
  op.rows = in.size("rows"), op.classes = in.positive("classes");
  op.logits = in.floats(product({op.rows, op.classes}), "logits");
  op.labels = in.ints(op.rows, "labels");
  op.weights = in.floats(op.rows, "weights");
  op.loss = in.floats(1, "loss");
  op.correct = in.floats(1, "correct");
  op.logsumexp = in.floats(op.rows, "logsumexp");
  in.check_indices(op.labels, op.rows, op.classes, "labels");
  if (in.ok()) ISA_CALL(cross_entropy)(op);
  return nullptr;
}

napi_value cross_entropy_grad(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  CrossEntropyGrad op;
  op.rows = in.size("rows"), op.classes = in.positive("classes");
  const float* dloss = in.floats(1, "dloss");
  op.logits = in.floats(product({op.rows, op.classes}), "logits");
  op.labels = in.ints(op.rows, "labels");
  op.weights = in.floats(op.rows, "weights");
  op.logsumexp = in.floats(op.rows, "logsumexp");
  op.dlogits = in.floats(product({op.rows, op.classes}), "dlogits");
  in.check_indices(op.labels, op.rows, op.classes, "labels");
  if (!in.ok()) return nullptr;
  op.dloss = *dloss;
  ISA_CALL(cross_entropy_grad)(op);
  return nullptr;
}

napi_value adamw(napi_env env, napi_callback_info info) {
  Reader in(env, info);
  AdamW op;
  op.beta1 = in.number("beta1"), op.beta2 = in.number("beta2");
  op.epsilon = in.number("epsilon"), op.max_norm = in.number("maxNorm");
  const float* hyper = in.floats(3, "hyper");
  const auto parameters = in.lists("parameters"), first = in.lists("firstMoments");
  const auto second = in.lists("secondMoments"), gradients = in.lists("gradients");
  op.norm = in.floats(1, "norm");
  op.count = parameters.size();
  // The rest of the sizes: a weight decay for each parameter.
  if (in.ok() && (first.size() != op.count || second.size() != op.count || gradients.size() != op.count ||
                  in.count() - in.read() != op.count))
    in.fail("every parameter needs two moments, a gradient and a weight decay");
  std::vector<AdamWTensor> tensors;
  for (size_t i = 0; in.ok() && i < op.count; i++) {
    const size_t count = parameters[i].length;
    if (first[i].length != count || second[i].length != count || gradients[i].length != count)
      in.fail("parameter " + std::to_string(i) + " has " + std::to_string(count) +
                   " elements, its moments or its gradient have not");
    const float weight_decay = static_cast<float>(in.number("weightDecay"));
    tensors.push_back({parameters[i].data, first[i].data, second[i].data, gradients[i].data, count, weight_decay});
  }
  if (!in.ok()) return nullptr;
  op.tensors = tensors.data();
  op.learning_rate = hyper[0], op.correction1 = hyper[1], op.correction2 = hyper[2];
  ISA_CALL(adamw)(op);
  return nullptr;
}

}  // namespace

void export_operations(napi_env env, napi_value exports) {
  export_function<linear>(env, exports, "linear");
  export_function<linear_grad>(env, exports, "linearGrad");
  export_function<layer_norm>(env, exports, "layerNorm");
  export_function<layer_norm_grad>(env, exports, "layerNormGrad");
  export_function<token_embedding>(env, exports, "tokenEmbedding");
  export_function<token_embedding_grad>(env, exports, "tokenEmbeddingGrad");
  export_function<rotary>(env, exports, "rotary");
  export_function<favor_relu>(env, exports, "favorRelu");
  export_function<favor_relu_grad>(env, exports, "favorReluGrad");
  export_function<favor_softmax>(env, exports, "favorSoftmax");
  export_function<favor_softmax_grad>(env, exports, "favorSoftmaxGrad");
  export_function<softmax_attention>(env, exports, "softmaxAttention");
  export_function<softmax_attention_grad>(env, exports, "softmaxAttentionGrad");
  export_function<lsh_attention>(env, exports, "lshAttention");
  export_function<lsh_attention_grad>(env, exports, "lshAttentionGrad");
  export_function<gather_rows>(env, exports, "gatherRows");
  export_function<gather_rows_grad>(env, exports, "gatherRowsGrad");
  export_function<cross_entropy>(env, exports, "crossEntropy");
  export_function<cross_entropy_grad>(env, exports, "crossEntropyGrad");
  export_function<adamw>(env, exports, "adamW");
}

}  // namespace protein_lm
