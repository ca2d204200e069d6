import * as tf from '@tensorflow/tfjs-core';
import type { NativeBackend } from '../backend.js';
import { kernel } from './kernel.js';
import { contiguousStrides, joinAxes } from './strides.js';

/** Copies an array of `shape` between two float32 tensors, each seen through an offset and strides. */
function copy(
  backend: NativeBackend,
  shape: number[],
  x: tf.TensorInfo,
  xOffset: number,
  xStrides: number[],
  y: tf.TensorInfo,
  yOffset: number,
  yStrides: number[],
): void {
  const layout = joinAxes(shape, [xStrides, yStrides]);
  const [from, to] = layout.strides;
  const sizes = [layout.shape.length, ...layout.shape, xOffset, ...from, yOffset, ...to];
  backend.call('copyStrided', sizes, [backend.floats(x), backend.floats(y)]);
}

export const transpose = kernel<{ perm: number[] }>(
  'Transpose',
  ({ inputs: { x }, attrs: { perm }, backend, original }) => {
    if (x.dtype !== 'float32') {
      return original();
    }
    const shape = perm.map((axis) => x.shape[axis]);
    const strides = contiguousStrides(x.shape);
    const y = backend.output(shape);
    copy(
      backend,
      shape,
      x,
      0,
      perm.map((axis) => strides[axis]),
      y,
      0,
      contiguousStrides(shape),
    );
    return y;
  },
);

interface SliceAttributes {
  begin: number | number[];
  size: number | number[];
}

export const slice = kernel<SliceAttributes>('Slice', ({ inputs: { x }, attrs, backend, original }) => {
  if (x.dtype !== 'float32') {
    return original();
  }
  const [begin, size] = tf.slice_util.parseSliceParams(x as tf.Tensor, attrs.begin, attrs.size);
  tf.slice_util.assertParamsValid(x as tf.Tensor, begin, size);
  return part(backend, x, begin, size);
});

export const split = kernel<{ numOrSizeSplits: number | number[]; axis: number }>(
  'SplitV',
  ({ inputs: { x }, attrs, backend, original }) => {
    if (x.dtype !== 'float32') {
      return original();
    }
    const [axis] = tf.util.parseAxisParam(attrs.axis, x.shape);
    const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, attrs.numOrSizeSplits, axis);
    const begin = new Array<number>(x.shape.length).fill(0);
    return sizes.map((width) => {
      const y = part(
        backend,
        x,
        begin,
        x.shape.map((size, i) => (i === axis ? width : size)),
      );
      begin[axis] += width;
      return y;
    });
  },
);

/** The block of x [...] of shape `size` that starts at `begin`. */
function part(backend: NativeBackend, x: tf.TensorInfo, begin: number[], size: number[]): tf.TensorInfo {
  const strides = contiguousStrides(x.shape);
  const offset = begin.reduce((sum, at, axis) => sum + at * strides[axis], 0);
  const y = backend.output(size);
  copy(backend, size, x, tf.util.sizeFromShape(size) === 0 ? 0 : offset, strides, y, 0, contiguousStrides(size));
  return y;
}

export const concat = kernel<{ axis: number }>('Concat', ({ inputs, attrs, backend, original }) => {
  const parts = Object.values(inputs);
  if (parts.some((x) => x.dtype !== 'float32')) {
    return original();
  }
  const shapes = parts.map((x) => x.shape);
  const [axis] = tf.util.parseAxisParam(attrs.axis, shapes[0]);
  tf.backend_util.assertParamsConsistent(shapes, axis);
  const shape = tf.backend_util.computeOutShape(shapes, axis);
  const strides = contiguousStrides(shape);
  const y = backend.output(shape);
  let offset = 0;
  for (const x of parts) {
    if (tf.util.sizeFromShape(x.shape) > 0) {
      copy(backend, x.shape, x, 0, contiguousStrides(x.shape), y, offset, strides);
    }
    offset += x.shape[axis] * strides[axis];
  }
  return y;
});

export const tile = kernel<{ reps: number[] }>('Tile', ({ inputs: { x }, attrs: { reps }, backend, original }) => {
  if (x.dtype !== 'float32' || 2 * x.shape.length > 12) {
    return original();
  }
  const shape = x.shape.map((size, axis) => size * reps[axis]);
  const strides = contiguousStrides(x.shape);
  const targets = contiguousStrides(shape);
  const y = backend.output(shape);
  copy(
    backend,
    x.shape.flatMap((size, axis) => [reps[axis], size]),
    x,
    0,
    strides.flatMap((stride) => [0, stride]),
    y,
    0,
    targets.flatMap((stride, axis) => [stride * x.shape[axis], stride]),
  );
  return y;
});
