import { LINEAR, LINEAR_GRAD } from '../../../ops/linear.js';
import { native } from './kernel.js';

export const linear = [
  native(LINEAR, 'linear', ({ x, w }, { activation }) => {
    const [rows, inputs] = x.shape;
    const [outputs] = w.shape;
    const gelu = activation === 'gelu';
    return {
      sizes: [rows, inputs, outputs, gelu],
      shapes: { y: [rows, outputs], preActivation: gelu ? [rows, outputs] : undefined },
    };
  }),
  native(LINEAR_GRAD, 'linearGrad', ({ dy, x, w, b, preActivation }) => {
    const [rows, inputs] = x.shape;
    const [outputs] = w.shape;
    return {
      sizes: [rows, inputs, outputs],
      shapes: { dx: x.shape, dw: w.shape, db: b?.shape },
      // The gradient before the GELU.
      rooms: [preActivation && dy.shape],
    };
  }),
];
