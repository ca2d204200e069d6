import * as tf from '@tensorflow/tfjs-core';
import { replaceKernel } from '../../replaceKernel.js';
import type { Gpu } from '../gpu.js';
import { launchElements } from './launch.js';
import { sizeOf } from './register.js';

/**
 * tfjs's transpose writes floats, and fails to compile for what is stored as integers: int32 and bool.
 */
export function replaceTranspose(): void {
  replaceKernel('Transpose', 'webgpu', (theirs) => (call) => {
    const x = call.inputs.x as tf.TensorInfo;
    if (x.dtype !== 'int32' && x.dtype !== 'bool') {
      return theirs(call);
    }
    const backend = call.backend as Gpu;
    const order = call.attrs?.perm as number[];
    const shape = order.map((axis) => x.shape[axis]);
    const steps = [...tf.util.computeStrides(x.shape), 1];
    const out = backend.makeTensorInfo(shape, x.dtype);
    // The index in x, from the index in out, axis by axis from the last.
    const axes = order.map((axis, i) => `source += rest % ${shape[i]}u * ${steps[axis]}u; rest /= ${shape[i]}u;`);
    launchElements(backend, {
      name: 'Transpose',
      inputs: { x: { ...x, dtype: 'int32' } },
      outputs: { out: { ...out, dtype: 'int32' } },
      body: `var rest = i; var source = 0u; ${axes.reverse().join(' ')} out[i] = x[source];`,
      size: sizeOf(shape),
    });
    return out;
  });
}
