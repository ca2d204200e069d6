import { headShape } from './heads.js';
import { kernel } from './kernel.js';

export const rotary = kernel<{ heads: number; inverse: boolean }>('Rotary', ({ inputs, attrs, backend }) => {
  const { qkv, inverseFrequencies } = inputs;
  const { batch, length, headSize } = headShape(qkv.shape, attrs.heads);
  const y = backend.output(qkv.shape);
  backend.addon.rotary(
    batch,
    length,
    attrs.heads,
    headSize,
    attrs.inverse,
    backend.floats(qkv),
    backend.floats(inverseFrequencies),
    backend.floats(y),
  );
  return [y];
});
