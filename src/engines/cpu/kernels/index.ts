import { adamW } from './adamW.js';
import { addLayerNorm, addLayerNormGrad } from './addLayerNorm.js';
import { favorReluAttention, favorReluAttentionGrad } from './favorReluAttention.js';
import { gatherRows, gatherRowsGrad } from './gatherRows.js';
import type { Kernel } from './kernel.js';
import { linear, linearGrad } from './linear.js';
import { maskedCrossEntropy, maskedCrossEntropyGrad } from './maskedCrossEntropy.js';
import { rotary } from './rotary.js';
import { softmaxAttention, softmaxAttentionGrad } from './softmaxAttention.js';
import { tokenEmbedding, tokenEmbeddingGrad } from './tokenEmbedding.js';

/** Every kernel that the CPU engine has of its own. */
export const KERNELS: Kernel[] = [
  adamW,
  addLayerNorm,
  addLayerNormGrad,
  favorReluAttention,
  favorReluAttentionGrad,
  gatherRows,
  gatherRowsGrad,
  linear,
  linearGrad,
  maskedCrossEntropy,
  maskedCrossEntropyGrad,
  rotary,
  softmaxAttention,
  softmaxAttentionGrad,
  tokenEmbedding,
  tokenEmbeddingGrad,
];
