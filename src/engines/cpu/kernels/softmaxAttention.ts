import { headShape } from './heads.js';
import { kernel } from './kernel.js';

interface SoftmaxAttentionAttributes {
  heads: number;
  causal: boolean;
}

export const softmaxAttention = kernel<SoftmaxAttentionAttributes>('SoftmaxAttention', ({ inputs, attrs, backend }) => {
  const { qkv, keep } = inputs;
  const { heads, causal } = attrs;
  const { batch, length, headSize } = headShape(qkv.shape, heads);
  const out = backend.output([batch, length, heads * headSize]);
  const logsumexp = backend.output([batch, heads, length]);
  backend.addon.softmaxAttention(
    batch,
    length,
    heads,
    headSize,
    causal,
    backend.floats(qkv),
    backend.floats(keep),
    backend.floats(out),
    backend.floats(logsumexp),
  );
  return [out, logsumexp];
});

export const softmaxAttentionGrad = kernel<SoftmaxAttentionAttributes>(
  'SoftmaxAttentionGrad',
  ({ inputs, attrs, backend }) => {
    const { dy, qkv, keep, out, aux0: logsumexp } = inputs;
    const { heads, causal } = attrs;
    const { batch, length, headSize } = headShape(qkv.shape, heads);
    const dqkv = backend.output(qkv.shape);
    backend.addon.softmaxAttentionGrad(
      batch,
      length,
      heads,
      headSize,
      causal,
      backend.floats(qkv),
      backend.floats(keep),
      backend.floats(dy),
      backend.floats(out),
      backend.floats(logsumexp),
      backend.floats(dqkv),
    );
    return [dqkv];
  },
);
