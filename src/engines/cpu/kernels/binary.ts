import * as tf from '@tensorflow/tfjs-core';
import { type Kernel, kernel } from './kernel.js';
import { broadcastStrides, joinAxes } from './strides.js';

// The order of enum Binary in native/arrays.h.
const OPERATIONS = ['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference'];

/** Elementwise operations of two float32 tensors, with broadcasting. */
export const binary: Kernel[] = OPERATIONS.map((name, operation) =>
  kernel(name, ({ inputs: { a, b }, backend, original }) => {
    if (a.dtype !== 'float32' || b.dtype !== 'float32') {
      return original();
    }
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const y = backend.output(shape);
    const layout = joinAxes(shape, [broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)]);
    const [aStrides, bStrides] = layout.strides;
    backend.addon.binary(
      operation,
      layout.shape,
      backend.floats(a),
      aStrides,
      backend.floats(b),
      bStrides,
      backend.floats(y),
    );
    return y;
  }),
);
