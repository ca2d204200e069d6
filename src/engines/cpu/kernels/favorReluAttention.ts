import { headShape } from './heads.js';
import { kernel } from './kernel.js';

interface FavorReluAttributes {
  heads: number;
  epsilon: number;
  causal: boolean;
}

export const favorReluAttention = kernel<FavorReluAttributes>('FavorReluAttention', ({ inputs, attrs, backend }) => {
  const { qkv, keep, projection } = inputs;
  const { heads, epsilon, causal } = attrs;
  const { batch, length, headSize } = headShape(qkv.shape, heads);
  const out = backend.output([batch, length, heads * headSize]);
  const denominators = backend.output([batch, heads, length]);
  backend.addon.favorRelu(
    batch,
    length,
    heads,
    headSize,
    projection ? projection.shape[0] : headSize,
    epsilon,
    causal,
    backend.floats(qkv),
    backend.floats(keep),
    projection && backend.floats(projection),
    backend.floats(out),
    backend.floats(denominators),
  );
  return [out, denominators];
});

export const favorReluAttentionGrad = kernel<FavorReluAttributes>(
  'FavorReluAttentionGrad',
  ({ inputs, attrs, backend }) => {
    const { dy, qkv, keep, projection, out, aux0: denominators } = inputs;
    const { heads, epsilon, causal } = attrs;
    const { batch, length, headSize } = headShape(qkv.shape, heads);
    const dqkv = backend.output(qkv.shape);
    backend.addon.favorReluGrad(
      batch,
      length,
      heads,
      headSize,
      projection ? projection.shape[0] : headSize,
      epsilon,
      causal,
      backend.floats(qkv),
      backend.floats(keep),
      projection && backend.floats(projection),
      backend.floats(dy),
      backend.floats(out),
      backend.floats(denominators),
      backend.floats(dqkv),
    );
    return [dqkv];
  },
);
