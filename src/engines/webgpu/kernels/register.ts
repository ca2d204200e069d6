import * as tf from '@tensorflow/tfjs-core';
import { implement } from '../../../ops/kernel.js';
import type { Gpu } from '../gpu.js';

/** A kernel of src/ops as this engine computes it. What it returns was made by `allocate`. */
export const kernel = implement<Gpu>();

/** Elements of a shape. */
export const sizeOf = tf.util.sizeFromShape;
