import type * as tf from '@tensorflow/tfjs-core';
import type { LanguageModel } from '../model/model.js';

/**
 * The attention matrices [heads, L, L] of a layer by running its attention on one-hot values (Choromanski et al.
 * 2021, appendix C.4), as many columns at a time as a head has values. Whatever an attention does, this is its matrix,
 * but held whole: for short sequences. `attentionLayers` has the same in row tiles.
 * @param qkv queries, keys and values [1, L, 3 D] of a sequence without padding
 */
export function oneHotAttention(model: LanguageModel, layer: number, qkv: tf.Tensor3D): tf.Tensor3D {
  const { rows, dispose } = model.oneHotRows(layer, qkv);
  const matrix = rows(0, qkv.shape[1]);
  dispose();
  return matrix;
}
