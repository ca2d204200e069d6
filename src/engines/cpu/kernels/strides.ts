import * as tf from '@tensorflow/tfjs-core';

/** The distance between neighbours along each axis of a contiguous array, 1 along the last. */
export function contiguousStrides(shape: number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/** The strides that make an array of `shape` one of the larger `target`: 0 along the axes that repeat. */
export function broadcastStrides(shape: number[], target: number[]): number[] {
  const missing = target.length - shape.length;
  const strides = contiguousStrides(shape);
  return target.map((_, axis) => (axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]));
}

/** A shape and the strides of several arrays over it, with axes joined wherever all of the arrays allow it. */
export interface Layout {
  shape: number[];
  strides: number[][];
}

/**
 * Joins neighbouring axes that all arrays run through in one go, and drops axes of size 1.
 * Example: shape [4, 8, 16], contiguous strides [128, 16, 1] and a row's [0, 0, 1] -> [32, 16], [16, 1] and [0, 1].
 */
export function joinAxes(shape: number[], strides: number[][]): Layout {
  const axes: number[] = [];
  const sizes: number[] = [];
  shape.forEach((size, axis) => {
    if (size === 1) {
      return;
    }
    const last = axes.length - 1;
    if (last >= 0 && strides.every((of) => of[axes[last]] === of[axis] * size)) {
      sizes[last] *= size;
      axes[last] = axis;
    } else {
      axes.push(axis);
      sizes.push(size);
    }
  });
  if (axes.length === 0) {
    return { shape: [1], strides: strides.map(() => [1]) };
  }
  return {
    shape: sizes,
    strides: strides.map((of) => axes.map((axis) => of[axis])),
  };
}

/** Sizes around the axes [first, last] of a shape: before them, of them, after them. */
export function sizesAround(shape: number[], first: number, last: number): [outer: number, n: number, inner: number] {
  const size = tf.util.sizeFromShape;
  return [size(shape.slice(0, first)), size(shape.slice(first, last + 1)), size(shape.slice(last + 1))];
}
