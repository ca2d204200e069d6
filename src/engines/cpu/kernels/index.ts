import { adamW } from './adamW.js';
import { addLayerNorm, addLayerNormGrad } from './addLayerNorm.js';
import { binary } from './binary.js';
import { cast } from './cast.js';
import { cumsum } from './cumsum.js';
import { favorReluAttention, favorReluAttentionGrad } from './favorReluAttention.js';
import { favorSoftmaxAttention, favorSoftmaxAttentionGrad } from './favorSoftmaxAttention.js';
import { favorTrigAttention, favorTrigAttentionGrad } from './favorTrigAttention.js';
import { gatherRows, gatherRowsGrad } from './gatherRows.js';
import type { Kernel } from './kernel.js';
import { linear, linearGrad } from './linear.js';
import { lshAttention, lshAttentionGrad } from './lshAttention.js';
import { maskedCrossEntropy, maskedCrossEntropyGrad } from './maskedCrossEntropy.js';
import { fusedMatMul, matMul } from './matMul.js';
import { concat, slice, split, tile, transpose } from './move.js';
import { reduce } from './reduce.js';
import { rotary } from './rotary.js';
import { softmax } from './softmax.js';
import { softmaxAttention, softmaxAttentionGrad } from './softmaxAttention.js';
import { tokenEmbedding, tokenEmbeddingGrad } from './tokenEmbedding.js';
import { unary } from './unary.js';

/** Every kernel that the CPU engine has of its own; the rest are those of tfjs. */
export const KERNELS: Kernel[] = [
  // Those of src/ops.
  adamW,
  addLayerNorm,
  addLayerNormGrad,
  favorReluAttention,
  favorReluAttentionGrad,
  favorSoftmaxAttention,
  favorSoftmaxAttentionGrad,
  favorTrigAttention,
  favorTrigAttentionGrad,
  gatherRows,
  gatherRowsGrad,
  linear,
  linearGrad,
  lshAttention,
  lshAttentionGrad,
  maskedCrossEntropy,
  maskedCrossEntropyGrad,
  rotary,
  softmaxAttention,
  softmaxAttentionGrad,
  tokenEmbedding,
  tokenEmbeddingGrad,

  // tfjs's own.
  ...binary,
  cast,
  concat,
  cumsum,
  fusedMatMul,
  matMul,
  ...reduce,
  slice,
  softmax,
  split,
  tile,
  transpose,
  ...unary,
];
