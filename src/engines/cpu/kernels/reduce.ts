import * as tf from '@tensorflow/tfjs-core';
import { kernel, type Replacement } from './kernel.js';
import { sizesAround } from './strides.js';

// Mean is Sum with a scale; the numbers are those of enum Reduction in native/arrays.h.
const OPERATIONS = { Sum: 0, Mean: 0, Max: 1, Min: 2 };

interface ReduceAttributes {
  axis?: number | number[];
  reductionIndices?: number | number[];
  keepDims?: boolean;
}

/** Reductions of a float32 tensor over neighbouring axes. */
export const reduce: Replacement[] = Object.entries(OPERATIONS).map(([name, operation]) =>
  kernel<ReduceAttributes>(name, ({ inputs: { x }, attrs, backend, original }) => {
    const axes = tf.util.parseAxisParam(attrs.axis ?? attrs.reductionIndices!, x.shape).sort((a, b) => a - b);
    const neighbours = axes.every((axis, i) => axis === axes[0] + i);
    if (x.dtype !== 'float32' || axes.length === 0 || !neighbours) {
      return original();
    }
    const [outer, n, inner] = sizesAround(x.shape, axes[0], axes[axes.length - 1]);
    const shape = attrs.keepDims
      ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
      : x.shape.filter((_, axis) => !axes.includes(axis));
    const y = backend.output(shape);
    const sizes = [operation, outer, n, inner, name === 'Mean' ? 1 / n : 1];
    backend.call('reduce', sizes, [backend.floats(x), backend.floats(y)]);
    return y;
  }),
);
