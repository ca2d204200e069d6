import type { AttentionKind, ModelConfig } from '../config.js';
import type { Attention, AttentionFactory } from './attention.js';
import { favorKernel } from './favorKernel.js';
import { favorRelu } from './favorRelu.js';
import { favorSoftmax } from './favorSoftmax.js';
import { favorTrig } from './favorTrig.js';
import { linformer } from './linformer.js';
import { lsh } from './lsh.js';
import { softmax } from './softmax.js';

const KINDS: Record<AttentionKind, AttentionFactory> = {
  'favor-relu': favorRelu,
  'favor-softmax': favorSoftmax,
  'favor-trig': favorTrig,
  'favor-kernel': favorKernel,
  softmax,
  linformer,
  lsh,
};

/** The attention that a model's configuration names. */
export function createAttention(config: ModelConfig): Attention {
  return KINDS[config.attention.kind](config);
}
