import type { ModelConfig } from '../config.js';
import type { Attention, AttentionFactory } from './attention.js';
import { favorRelu } from './favorRelu.js';
import { softmax } from './softmax.js';

const KINDS: Record<ModelConfig['attention']['kind'], AttentionFactory> = {
  'favor-relu': favorRelu,
  softmax,
};

/** The attention that a model's configuration names. */
export function createAttention(config: ModelConfig): Attention {
  return KINDS[config.attention.kind](config);
}
