import * as tf from '@tensorflow/tfjs-core';
import { createAttention } from '../model/attention/index.js';
import type { LanguageModel } from '../model/model.js';

/**
 * The attention matrices [heads, L, L] of a layer by running its attention on one-hot values (Choromanski et al.
 * 2021, appendix C.4), as many columns at a time as a head has values. Whatever an attention does, this is its matrix,
 * but held whole: for short sequences. `attentionLayers` has the same in row tiles.
 * @param qkv queries, keys and values [1, L, 3 D] of a sequence without padding
 */
export function oneHotAttention(model: LanguageModel, layer: number, qkv: tf.Tensor3D): tf.Tensor3D {
  const { config } = model;
  const heads = config.num_attention_heads;
  const hidden = config.hidden_size;
  const size = hidden / heads;
  const [, length] = qkv.shape;
  return tf.tidy(() => {
    const attention = createAttention(config);
    const parameters = Object.fromEntries(
      attention.parameters.map(({ name }) => [name, model.parameters.get(`layers.${layer}.attention.${name}`)!]),
    );
    const keep = tf.ones([1, length]) as tf.Tensor2D;
    const queriesAndKeys = tf.slice(qkv, [0, 0, 0], [1, length, 2 * hidden]);
    const columns: tf.Tensor3D[] = [];
    for (let first = 0; first < length; first += size) {
      const out = tf.tidy(() => {
        const block = tf.oneHot(tf.range(-first, length - first, 1, 'int32'), size); // [L, d]
        const values = tf.reshape(tf.tile(tf.cast(block, 'float32'), [1, heads]), [1, length, hidden]);
        return attention.attend(tf.concat([queriesAndKeys, values], 2) as tf.Tensor3D, keep, parameters);
      });
      columns.push(tf.transpose(tf.reshape(out, [length, heads, size]), [1, 0, 2])); // [heads, L, d]
    }
    return tf.slice(tf.concat(columns, 2), [0, 0, 0], [heads, length, length]) as tf.Tensor3D;
  });
}
