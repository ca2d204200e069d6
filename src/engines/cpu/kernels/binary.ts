import * as tf from '@tensorflow/tfjs-core';
import { kernel, type Replacement } from './kernel.js';
import { broadcastStrides, joinAxes } from './strides.js';

// The order of enum Binary in native/arrays.h.
const OPERATIONS = ['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference'];

/** Elementwise operations of two float32 tensors, with broadcasting. */
export const binary: Replacement[] = OPERATIONS.map((name, operation) =>
  kernel(name, ({ inputs: { a, b }, backend, original }) => {
    if (a.dtype !== 'float32' || b.dtype !== 'float32') {
      return original();
    }
    const shape = tf.broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
    const y = backend.output(shape);
    const layout = joinAxes(shape, [broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)]);
    const [aStrides, bStrides] = layout.strides;
    const sizes = [operation, layout.shape.length, ...layout.shape, ...aStrides, ...bStrides];
    backend.call('binary', sizes, [backend.floats(a), backend.floats(b), backend.floats(y)]);
    return y;
  }),
);
