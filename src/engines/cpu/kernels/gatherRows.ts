import { GATHER_ROWS, GATHER_ROWS_GRAD } from '../../../ops/gatherRows.js';
import { native } from './kernel.js';

export const gatherRows = [
  native(GATHER_ROWS, 'gatherRows', ({ x, indices }) => {
    const [rows, width] = x.shape;
    const [count] = indices.shape;
    return { sizes: [rows, count, width], shapes: { y: [count, width] } };
  }),
  native(GATHER_ROWS_GRAD, 'gatherRowsGrad', ({ dy }, { rows }) => {
    const [count, width] = dy.shape;
    return { sizes: [rows, count, width], shapes: { dx: [rows, width] } };
  }),
];
