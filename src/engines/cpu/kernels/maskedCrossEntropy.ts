import { MASKED_CROSS_ENTROPY, MASKED_CROSS_ENTROPY_GRAD } from '../../../ops/maskedCrossEntropy.js';
import { native } from './kernel.js';

export const maskedCrossEntropy = [
  native(MASKED_CROSS_ENTROPY, 'crossEntropy', ({ logits: { shape } }) => ({
    sizes: shape,
    shapes: { loss: [], correct: [], logsumexp: [shape[0]] },
  })),
  native(MASKED_CROSS_ENTROPY_GRAD, 'crossEntropyGrad', ({ logits: { shape } }) => ({
    sizes: shape,
    shapes: { dlogits: shape },
  })),
];
