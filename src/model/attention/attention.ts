import type * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../data/random.js';
import type { ModelConfig } from '../config.js';

/** A tensor that a kind of attention has in each layer, beside queries, keys, values and output. */
export interface AttentionParameter {
  /** Its name within the layer; `esm.encoder.layer.{i}.attention.self.` precedes it in a checkpoint. */
  name: string;
  shape: number[];
  /** Whether training changes it. */
  trainable: boolean;
  /** Whether it is random by design, and redrawn where the configuration has a `redraw_interval`. */
  random?: boolean;
  initialise(random: Random): Float32Array;
}

/** A kind of attention, for one model. */
export interface Attention {
  /** Whether queries are keys as well: there is one projection for both, and `attend` finds it in both places. */
  sharedQueryKey?: boolean;
  parameters: AttentionParameter[];
  /**
   * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
   * @param keep [B, L] 1 for tokens, 0 for padding
   * @param parameters the layer's tensors, by name
   * @returns [B, L, D]
   */
  attend(qkv: tf.Tensor3D, keep: tf.Tensor2D, parameters: Record<string, tf.Tensor>): tf.Tensor3D;
}

/** How a kind is made from a model's configuration. */
export type AttentionFactory = (config: ModelConfig) => Attention;
