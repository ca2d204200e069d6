import { kernel } from './kernel.js';

interface AdamWAttributes {
  count: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number[];
  maxNorm: number;
}

export const adamW = kernel<AdamWAttributes>('AdamW', ({ inputs, attrs, backend }) => {
  const { count, beta1, beta2, epsilon, weightDecay, maxNorm } = attrs;
  const all = (letter: string) => Array.from({ length: count }, (_, i) => backend.floats(inputs[`${letter}${i}`]));
  const norm = backend.output([]);
  backend.addon.adamW(
    backend.floats(inputs.hyper),
    beta1,
    beta2,
    epsilon,
    maxNorm,
    Float32Array.from(weightDecay),
    all('p'),
    all('m'),
    all('v'),
    all('g'),
    backend.floats(norm),
  );
  return [norm];
});
