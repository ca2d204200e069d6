import * as tf from '@tensorflow/tfjs-core';
import { differentiable } from './dispatch.js';
import { contract, hasKernel, run } from './kernel.js';

/** Options of `tokenEmbedding`. */
export interface TokenEmbeddingOptions {
  /** Id of <pad>: such positions give zero rows, and position indices count up from padId + 1. */
  padId: number;
  /** Id of <mask>. */
  maskId: number;
  /** ESM-2's rescaling: rows of <mask> are zero, and the others are scaled by the share of masks. */
  tokenDropout: boolean;
}

export const TOKEN_EMBEDDING = contract<TokenEmbeddingOptions>()({
  name: 'TokenEmbedding',
  inputs: { ids: 'int32', word: 'float32', position: 'float32?' },
  outputs: { x: 'float32' },
});
export const TOKEN_EMBEDDING_GRAD = contract<TokenEmbeddingOptions>()({
  name: 'TokenEmbeddingGrad',
  inputs: { dy: 'float32', ids: 'int32', word: 'float32', position: 'float32?' },
  outputs: { dword: 'float32', dposition: 'float32?' },
});

// Share of masked tokens in ESM-2's training: 15 % selected, 80 % of those <mask>.
const TRAINING_MASK_RATIO = 0.15 * 0.8;

/**
 * Embeddings of tokens and of their positions, as Hugging Face's EsmEmbeddings.
 * Position indices are padId + the running count of kept tokens, so padding never shifts a token.
 * @param ids [B, L] int32
 * @param word [V, D]
 * @param position [P, D]; leave it out for rotary positions
 * @returns [B, L, D]
 * Kernels: TokenEmbedding, TokenEmbeddingGrad. Differentiable in word and position.
 */
export function tokenEmbedding(
  ids: tf.Tensor2D,
  word: tf.Tensor2D,
  position: tf.Tensor2D | undefined,
  options: TokenEmbeddingOptions,
): tf.Tensor3D {
  const attributes = { ...options };
  if (!hasKernel(TOKEN_EMBEDDING)) {
    return tokenEmbeddingReference(ids, word, position, options);
  }
  return differentiable({
    inputs: { word, position },
    forward: (save) => {
      save({ ids, word, position });
      return [run(TOKEN_EMBEDDING, { ids, word, position }, attributes).outputs.x];
    },
    backward: ([dy], saved) => {
      const inputs = { dy, ids: saved.ids, word: saved.word, position: saved.position };
      const { dword, dposition } = run(TOKEN_EMBEDDING_GRAD, inputs, attributes).outputs;
      return { word: dword, position: dposition };
    },
  })[0] as tf.Tensor3D;
}

/** The definition of `tokenEmbedding` in tfjs operations. */
export function tokenEmbeddingReference(
  ids: tf.Tensor2D,
  word: tf.Tensor2D,
  position: tf.Tensor2D | undefined,
  options: TokenEmbeddingOptions,
): tf.Tensor3D {
  const [batch, length] = ids.shape;
  const [, width] = word.shape;
  const keep = tf.cast(tf.notEqual(ids, options.padId), 'float32');
  let x = tf.reshape(lookUp(tf.reshape(ids, [-1]), word), [batch, length, width]);
  if (options.tokenDropout) {
    const masked = tf.cast(tf.equal(ids, options.maskId), 'float32');
    const ratio = tf.div(tf.sum(masked, 1, true), tf.sum(keep, 1, true));
    const scale = tf.mul(tf.sub(1, masked), tf.div(1 - TRAINING_MASK_RATIO, tf.sub(1, ratio)));
    x = tf.mul(x, tf.expandDims(scale, 2));
  }
  if (position) {
    const indices = tf.add(tf.mul(tf.cumsum(keep, 1), keep), options.padId);
    const rows = lookUp(tf.cast(tf.reshape(indices, [-1]), 'int32') as tf.Tensor1D, position);
    x = tf.add(x, tf.reshape(rows, [batch, length, width]));
  }
  return tf.mul(x, tf.expandDims(keep, 2)) as tf.Tensor3D;
}

/** table[indices], with a gradient that adds up the rows of equal indices. */
function lookUp(indices: tf.Tensor1D, table: tf.Tensor2D): tf.Tensor {
  return differentiable({
    inputs: { table },
    forward: (save) => {
      save({ indices });
      return [tf.gather(table, indices)];
    },
    backward: ([dy], saved) => ({ table: tf.scatterND(tf.reshape(saved.indices, [-1, 1]), dy, table.shape) }),
  })[0];
}
