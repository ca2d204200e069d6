import type * as tf from '@tensorflow/tfjs-core';
import { kernel } from './kernel.js';

/** tfjs leaves the values as they are where the new type is wider; here a tensor's values have its type. */
export const cast = kernel<{ dtype: tf.DataType }>('Cast', ({ inputs: { x }, attrs: { dtype }, backend, original }) => {
  const widened = (dtype === 'float32' && x.dtype !== 'float32') || (dtype === 'int32' && x.dtype === 'bool');
  if (!widened || x.dtype === 'complex64' || x.dtype === 'string') {
    return original();
  }
  const { values } = backend.data.get(x.dataId);
  const y = backend.output(x.shape, dtype as 'float32' | 'int32');
  (dtype === 'float32' ? backend.floats(y) : backend.integers(y)).set(values as Uint8Array | Int32Array);
  return y;
});
