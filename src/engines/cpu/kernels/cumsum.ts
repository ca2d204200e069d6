import * as tf from '@tensorflow/tfjs-core';
import { kernel } from './kernel.js';
import { sizesAround } from './strides.js';

interface CumsumAttributes {
  axis: number;
  exclusive: boolean;
  reverse: boolean;
}

export const cumsum = kernel<CumsumAttributes>('Cumsum', ({ inputs: { x }, attrs, backend, original }) => {
  if (x.dtype !== 'float32' || x.shape.length === 0) {
    return original();
  }
  const [axis] = tf.util.parseAxisParam(attrs.axis, x.shape);
  const [outer, n, inner] = sizesAround(x.shape, axis, axis);
  const y = backend.output(x.shape);
  const sizes = [outer, n, inner, attrs.exclusive === true, attrs.reverse === true];
  backend.call('cumulativeSum', sizes, [backend.floats(x), backend.floats(y)]);
  return y;
});
