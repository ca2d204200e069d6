import { headShape } from './heads.js';
import { kernel } from './kernel.js';

interface LshAttentionAttributes {
  heads: number;
  causal: boolean;
  hashes: number;
  chunkLength: number;
}

export const lshAttention = kernel<LshAttentionAttributes>('LshAttention', ({ inputs, attrs, backend }) => {
  const { qkv, keep, rotations } = inputs;
  const { heads, causal, hashes, chunkLength } = attrs;
  const { batch, length, headSize } = headShape(qkv.shape, heads);
  const [rows] = rotations.shape;
  if (rows % hashes !== 0) {
    throw new RangeError(`${rows} rotations do not divide among ${hashes} rounds of hashing`);
  }
  const out = backend.output([batch, length, heads * headSize]);
  const order = backend.output([batch, heads, hashes, length], 'int32');
  const peaks = backend.output([batch, heads, length]);
  const totals = backend.output([batch, heads, length]);
  backend.addon.lshAttention(
    batch,
    length,
    heads,
    headSize,
    hashes,
    chunkLength,
    causal,
    backend.floats(qkv),
    backend.floats(keep),
    rows / hashes,
    backend.floats(rotations),
    backend.floats(out),
    backend.integers(order),
    backend.floats(peaks),
    backend.floats(totals),
  );
  return [out, order, peaks, totals];
});

export const lshAttentionGrad = kernel<LshAttentionAttributes>('LshAttentionGrad', ({ inputs, attrs, backend }) => {
  const { dy, qkv, keep, out, aux0: order, aux1: peaks, aux2: totals } = inputs;
  const { heads, causal, hashes, chunkLength } = attrs;
  const { batch, length, headSize } = headShape(qkv.shape, heads);
  const dqkv = backend.output(qkv.shape);
  backend.addon.lshAttentionGrad(
    batch,
    length,
    heads,
    headSize,
    hashes,
    chunkLength,
    causal,
    backend.floats(qkv),
    backend.floats(keep),
    backend.floats(dy),
    backend.floats(out),
    backend.integers(order),
    backend.floats(peaks),
    backend.floats(totals),
    backend.floats(dqkv),
  );
  return [dqkv];
});
