import { headShape } from './heads.js';
import { kernel } from './kernel.js';

interface FavorSoftmaxAttributes {
  heads: number;
  epsilon: number;
  causal: boolean;
}

export const favorSoftmaxAttention = kernel<FavorSoftmaxAttributes>(
  'FavorSoftmaxAttention',
  ({ inputs, attrs, backend }) => {
    const { qkv, keep, projection } = inputs;
    const { heads, epsilon, causal } = attrs;
    const { batch, length, headSize } = headShape(qkv.shape, heads);
    const out = backend.output([batch, length, heads * headSize]);
    const denominators = backend.output([batch, heads, length]);
    const peaks = backend.output(causal ? [batch, heads, length] : [batch, heads]);
    const places = backend.output([batch, heads, 2], 'int32');
    backend.addon.favorSoftmax(
      batch,
      length,
      heads,
      headSize,
      projection.shape[0],
      epsilon,
      causal,
      backend.floats(qkv),
      backend.floats(keep),
      backend.floats(projection),
      backend.floats(out),
      backend.floats(denominators),
      backend.floats(peaks),
      backend.integers(places),
    );
    return [out, denominators, peaks, places];
  },
);

export const favorSoftmaxAttentionGrad = kernel<FavorSoftmaxAttributes>(
  'FavorSoftmaxAttentionGrad',
  ({ inputs, attrs, backend }) => {
    const { dy, qkv, keep, projection, out, aux0: denominators, aux1: peaks, aux2: places } = inputs;
    const { heads, epsilon, causal } = attrs;
    const { batch, length, headSize } = headShape(qkv.shape, heads);
    const dqkv = backend.output(qkv.shape);
    backend.addon.favorSoftmaxGrad(
      batch,
      length,
      heads,
      headSize,
      projection.shape[0],
      epsilon,
      causal,
      backend.floats(qkv),
      backend.floats(keep),
      backend.floats(projection),
      backend.floats(dy),
      backend.floats(out),
      backend.floats(denominators),
      backend.floats(dqkv),
      backend.floats(peaks),
      backend.integers(places),
    );
    return [dqkv];
  },
);
