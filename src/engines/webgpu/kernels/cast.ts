import type * as tf from '@tensorflow/tfjs-core';
import { replaceKernel } from '../../replaceKernel.js';
import type { Gpu } from '../gpu.js';
import { toFloats } from './launch.js';

/**
 * tfjs casts integers to floats by renaming them, and lets each of its kernels convert as it reads. Ours read floats
 * where a tensor says so.
 */
export function replaceCast(): void {
  replaceKernel('Cast', 'webgpu', (theirs) => (call) => {
    const x = call.inputs.x as tf.TensorInfo;
    if (call.attrs?.dtype !== 'float32' || (x.dtype !== 'int32' && x.dtype !== 'bool')) {
      return theirs(call);
    }
    return toFloats(call.backend as Gpu, x);
  });
}
