import { GATHER_ROWS, GATHER_ROWS_GRAD } from '../../../ops/gatherRows.js';
import { allocate, launch, launchElements, release } from './launch.js';
import { kernel, sizeOf } from './register.js';

const forward = kernel(GATHER_ROWS, ({ inputs: { x, indices }, backend }) => {
  const width = x.shape[1];
  const y = allocate(backend, [indices.shape[0], width]);
  launchElements(backend, {
    name: 'GatherRows',
    inputs: { x, indices },
    outputs: { y },
    constants: { width },
    body: 'y[i] = x[u32(indices[i / c.width]) * c.width + i % c.width];',
    size: sizeOf(y.shape),
  });
  return { y };
});

const gradient = kernel(GATHER_ROWS_GRAD, ({ inputs: { dy, indices }, attributes: { rows }, backend }) => {
  const [count, width] = dy.shape;
  // Equal indices form a chain in their order, so that the first one's thread adds all of them up.
  const chain = backend.makeTensorInfo([2 * count], 'int32');
  launchElements(backend, {
    name: 'GatherRowsGradChain',
    inputs: { indices },
    outputs: { chain },
    body: `
    let row = indices[i];
    var next = -1;
    for (var j = i + 1u; j < c.elements && next < 0; j++) { if (indices[j] == row) { next = i32(j); } }
    var first = 1;
    for (var j = 0u; j < i && first == 1; j++) { if (indices[j] == row) { first = 0; } }
    chain[i] = next;
    chain[c.elements + i] = first;`,
    size: count,
  });
  const dx = allocate(backend, [rows, width]);
  launchElements(backend, { name: 'Zeros', inputs: {}, outputs: { dx }, body: 'dx[i] = 0.0;', size: rows * width });
  launch(backend, {
    name: 'GatherRowsGrad',
    inputs: { dy, indices, chain },
    outputs: { dx },
    constants: { width, count },
    threads: 64,
    body: `
  if (chain[c.count + group] == 0) { return; }
  let row = u32(indices[group]);
  for (var j = lane; j < c.width; j += 64u) {
    var sum = 0.0;
    for (var n = i32(group); n >= 0; n = chain[n]) { sum += dy[u32(n) * c.width + j]; }
    dx[row * c.width + j] = sum;
  }`,
    groups: count,
  });
  release(backend, chain);
  return { dx };
});

export const gatherRows = [forward, gradient];
