import { ADAM_W } from '../../../ops/adamW.js';
import { native } from './kernel.js';

export const adamW = native(ADAM_W, 'adamW', (_, { beta1, beta2, epsilon, maxNorm, weightDecay }) => ({
  sizes: [beta1, beta2, epsilon, maxNorm, ...weightDecay],
  shapes: { norm: [] },
}));
