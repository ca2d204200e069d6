import * as tf from '@tensorflow/tfjs-core';
import { kernel } from './kernel.js';

export const softmax = kernel<{ dim: number }>(
  'Softmax',
  ({ inputs: { logits }, attrs: { dim }, backend, original }) => {
    const last = logits.shape.length - 1;
    const [axis] = tf.util.parseAxisParam(dim, logits.shape);
    if (logits.dtype !== 'float32' || axis !== last) {
      return original();
    }
    const y = backend.output(logits.shape);
    const n = logits.shape[last];
    const rows = tf.util.sizeFromShape(logits.shape.slice(0, last));
    backend.call('softmax', [rows, n], [backend.floats(logits), backend.floats(y)]);
    return y;
  },
);
