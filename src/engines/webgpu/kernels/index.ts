import { type Implementation, registerKernels } from '../../../ops/kernel.js';
import { adamW } from './adamW.js';
import { addLayerNorm } from './addLayerNorm.js';
import { replaceCast } from './cast.js';
import { favorReluAttention } from './favorReluAttention.js';
import { gatherRows } from './gatherRows.js';
import { linear } from './linear.js';
import { maskedCrossEntropy } from './maskedCrossEntropy.js';
import { rotary } from './rotary.js';
import { softmaxAttention } from './softmaxAttention.js';
import { tokenEmbedding } from './tokenEmbedding.js';
import { replaceTranspose } from './transpose.js';

const KERNELS: Implementation[] = [
  adamW,
  addLayerNorm,
  favorReluAttention,
  gatherRows,
  linear,
  maskedCrossEntropy,
  rotary,
  softmaxAttention,
  tokenEmbedding,
].flat();

let registered = false;

/** Makes our kernels known to tfjs, once in a process. */
export function registerWebgpuKernels(): void {
  if (registered) {
    return;
  }
  registered = true;
  registerKernels('webgpu', KERNELS);
  replaceCast();
  replaceTranspose();
}
