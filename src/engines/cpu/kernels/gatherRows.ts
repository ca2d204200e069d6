import { kernel } from './kernel.js';

export const gatherRows = kernel('GatherRows', ({ inputs: { x, indices }, backend }) => {
  const [rows, width] = x.shape;
  const [count] = indices.shape;
  const y = backend.output([count, width]);
  backend.addon.gatherRows(rows, count, width, backend.floats(x), backend.integers(indices), backend.floats(y));
  return [y];
});

export const gatherRowsGrad = kernel<{ rows: number }>('GatherRowsGrad', ({ inputs, attrs: { rows }, backend }) => {
  const { dy, indices } = inputs;
  const [count, width] = dy.shape;
  const dx = backend.output([rows, width]);
  backend.addon.gatherRowsGrad(rows, count, width, backend.floats(dy), backend.integers(indices), backend.floats(dx));
  return [dx];
});
