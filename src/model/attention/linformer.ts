import type * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../data/random.js';
import { linformerAttention } from '../../ops/linformerAttention.js';
import { maxLength } from '../config.js';
import type { AttentionFactory } from './attention.js';

/** Linformer: exact attention to a fixed number of learned mixtures of all keys and values. */
export const linformer: AttentionFactory = (config) => {
  const shape = [config.attention.projected_length!, maxLength(config)];
  // Of variance 1 / projected_length, as in the theorem that Linformer rests on (Wang et al. 2020, theorem 2).
  const deviation = shape[0] ** -0.5;
  const initialise = (random: Random) =>
    Float32Array.from({ length: shape[0] * shape[1] }, () => deviation * random.normal());
  return {
    parameters: ['key_projection', 'value_projection'].map((name) => ({ name, shape, trainable: true, initialise })),
    attend: (qkv, keep, { key_projection: e, value_projection: f }) =>
      linformerAttention(qkv, keep, e as tf.Tensor2D, f as tf.Tensor2D, config.num_attention_heads),
  };
};
