import { ROTARY } from '../../../ops/rotary.js';
import { headShape } from './heads.js';
import { native } from './kernel.js';

export const rotary = native(ROTARY, 'rotary', ({ qkv }, { heads, inverse }) => {
  const { batch, length, headSize } = headShape(qkv, heads);
  return { sizes: [batch, length, heads, headSize, inverse], shapes: { y: qkv.shape } };
});
