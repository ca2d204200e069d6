import type { Implementation } from '../../../ops/kernel.js';
import { adamW } from './adamW.js';
import { addLayerNorm } from './addLayerNorm.js';
import { binary } from './binary.js';
import { cast } from './cast.js';
import { cumsum } from './cumsum.js';
import { favorReluAttention } from './favorReluAttention.js';
import { favorSoftmaxAttention } from './favorSoftmaxAttention.js';
import { favorTrigAttention } from './favorTrigAttention.js';
import { gatherRows } from './gatherRows.js';
import type { Replacement } from './kernel.js';
import { linear } from './linear.js';
import { lshAttention } from './lshAttention.js';
import { maskedCrossEntropy } from './maskedCrossEntropy.js';
import { fusedMatMul, matMul } from './matMul.js';
import { concat, slice, split, tile, transpose } from './move.js';
import { reduce } from './reduce.js';
import { rotary } from './rotary.js';
import { softmax } from './softmax.js';
import { softmaxAttention } from './softmaxAttention.js';
import { tokenEmbedding } from './tokenEmbedding.js';
import { unary } from './unary.js';

/** The kernels of src/ops that the CPU engine has. */
export const KERNELS: Implementation[] = [
  adamW,
  addLayerNorm,
  favorReluAttention,
  favorSoftmaxAttention,
  favorTrigAttention,
  gatherRows,
  linear,
  lshAttention,
  maskedCrossEntropy,
  rotary,
  softmaxAttention,
  tokenEmbedding,
].flat();

/** What it has in the place of tfjs's own; the rest are those of tfjs. */
export const REPLACEMENTS: Replacement[] = [
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
