import type * as tf from '@tensorflow/tfjs-core';
import { TOKEN_EMBEDDING, TOKEN_EMBEDDING_GRAD, type TokenEmbeddingOptions } from '../../../ops/tokenEmbedding.js';
import { native } from './kernel.js';

interface Tables {
  ids: tf.TensorInfo;
  word: tf.TensorInfo;
  position: tf.TensorInfo | undefined;
}

function sizesOf({ ids, word, position }: Tables, { padId, maskId, tokenDropout }: TokenEmbeddingOptions) {
  const [batch, length] = ids.shape;
  const [vocabulary, width] = word.shape;
  return [batch, length, width, vocabulary, position?.shape[0] ?? 0, padId, maskId, tokenDropout];
}

export const tokenEmbedding = [
  native(TOKEN_EMBEDDING, 'tokenEmbedding', (inputs, options) => ({
    sizes: sizesOf(inputs, options),
    shapes: { x: [...inputs.ids.shape, inputs.word.shape[1]] },
  })),
  native(TOKEN_EMBEDDING_GRAD, 'tokenEmbeddingGrad', (inputs, options) => ({
    sizes: sizesOf(inputs, options),
    shapes: { dword: inputs.word.shape, dposition: inputs.position?.shape },
  })),
];
