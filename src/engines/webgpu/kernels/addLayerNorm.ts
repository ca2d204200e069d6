import { ADD_LAYER_NORM, ADD_LAYER_NORM_GRAD, type AddLayerNormAttributes } from '../../../ops/addLayerNorm.js';
import type { Gpu } from '../gpu.js';
import { allocate, launch, reduction, release, sumParts } from './launch.js';
import { kernel, sizeOf } from './register.js';

const THREADS = 128;
// Rows whose contributions to the gradients of gamma and beta one workgroup adds up.
const ROWS = 64;

/**
 * WGSL: `kept(i)`, the factor of element i, as dropoutMask in src/ops/dropout.ts. The pass's seed comes in a buffer,
 * which a replayed step rewrites.
 */
function dropout(backend: Gpu, { dropoutRate, passSeed, dropoutSite }: AddLayerNormAttributes) {
  return {
    constants: { site: dropoutSite ?? 0, threshold: Math.ceil(dropoutRate * 2 ** 32) },
    floats: { scale: 1 / (1 - dropoutRate) },
    buffers: { pass_seed: backend.recorder.seedBuffer(passSeed) },
    declarations: `
fn hash(index: u32, seed: u32) -> u32 {
  var x = index + seed * 0x9e3779b9u;
  x ^= x >> 16u;
  x *= 0x7feb352du;
  x ^= x >> 15u;
  x *= 0x846ca68bu;
  return x ^ (x >> 16u);
}
fn kept(i: u32) -> f32 {
  let seed = ${dropoutSite === undefined ? 'pass_seed[0]' : 'hash(c.site, pass_seed[0])'};
  return select(0.0, c.scale, hash(i, seed) >= c.threshold);
}`,
  };
}

const forward = kernel(ADD_LAYER_NORM, ({ inputs: { x, residual, gamma, beta }, attributes, backend }) => {
  const width = gamma.shape[0];
  const rows = sizeOf(x.shape) / width;
  const drops = residual && attributes.dropoutRate > 0 ? dropout(backend, attributes) : undefined;
  const sum = residual && allocate(backend, x.shape);
  const normed = allocate(backend, x.shape);
  // Mean and 1 / standard deviation of each row: one tensor, as devices bind few.
  const moments = allocate(backend, [rows, 2]);
  launch(backend, {
    name: 'AddLayerNorm',
    inputs: { x, residual, gamma, beta },
    outputs: { ...(sum && { sum }), normed, moments },
    constants: { width, ...drops?.constants },
    floats: { epsilon: attributes.epsilon, ...drops?.floats },
    declarations: reduction(THREADS) + (drops?.declarations ?? ''),
    buffers: drops?.buffers,
    threads: THREADS,
    body: `
  let start = group * c.width;
  var total = 0.0;
  for (var j = lane; j < c.width; j += ${THREADS}u) {
    let i = start + j;
    ${residual ? `let value = x[i] + residual[i]${drops ? ' * kept(i)' : ''}; sum[i] = value;` : 'let value = x[i];'}
    total += value;
  }
  let mean = reduce(total, lane) / f32(c.width);
  var squares = 0.0;
  for (var j = lane; j < c.width; j += ${THREADS}u) {
    let centred = ${residual ? 'sum' : 'x'}[start + j] - mean;
    squares += centred * centred;
  }
  let scale = 1.0 / sqrt(reduce(squares, lane) / f32(c.width) + c.epsilon);
  for (var j = lane; j < c.width; j += ${THREADS}u) {
    normed[start + j] = (${residual ? 'sum' : 'x'}[start + j] - mean) * scale * gamma[j] + beta[j];
  }
  if (lane == 0u) { moments[2u * group] = mean; moments[2u * group + 1u] = scale; }`,
    groups: rows,
  });
  return { normed, sum, moments };
});

const gradient = kernel(ADD_LAYER_NORM_GRAD, ({ inputs, attributes, backend }) => {
  const { dsum, dnormed, sum, gamma, moments } = inputs;
  const width = gamma.shape[0];
  const rows = sizeOf(sum.shape) / width;
  const drops = dsum && attributes.dropoutRate > 0 ? dropout(backend, attributes) : undefined;
  const dx = allocate(backend, sum.shape);
  const dresidual = drops ? allocate(backend, sum.shape) : undefined;
  const blocks = Math.ceil(rows / ROWS);
  const parts = allocate(backend, [blocks, 2 * width]);
  launch(backend, {
    name: 'AddLayerNormGrad',
    inputs: { dsum, dnormed, sum, gamma, moments },
    outputs: { dx, ...(dresidual && { dresidual }) },
    constants: { width, ...drops?.constants },
    floats: drops?.floats,
    declarations: reduction(THREADS) + (drops?.declarations ?? ''),
    buffers: drops?.buffers,
    threads: THREADS,
    body: `
  let start = group * c.width;
  let mean = moments[2u * group];
  let scale = moments[2u * group + 1u];
  var slopes = 0.0;
  var products = 0.0;
  for (var j = lane; j < c.width; j += ${THREADS}u) {
    let slope = dnormed[start + j] * gamma[j];
    slopes += slope;
    products += slope * (sum[start + j] - mean) * scale;
  }
  let offset = reduce(slopes, lane) / f32(c.width);
  let along = reduce(products, lane) / f32(c.width);
  for (var j = lane; j < c.width; j += ${THREADS}u) {
    let i = start + j;
    let slope = dnormed[i] * gamma[j];
    let value = ${dsum ? 'dsum[i] + ' : ''}scale * (slope - offset - (sum[i] - mean) * scale * along);
    dx[i] = value;
    ${drops ? 'dresidual[i] = value * kept(i);' : ''}
  }`,
    groups: rows,
  });
  launch(backend, {
    name: 'AddLayerNormGradScale',
    inputs: { dnormed, sum, moments },
    outputs: { parts },
    constants: { width, rows, blocks },
    threads: 64,
    body: `
  let block = group % c.blocks;
  let j = group / c.blocks * 64u + lane;
  if (j >= c.width) { return; }
  var gain = 0.0;
  var shift = 0.0;
  for (var row = block * ${ROWS}u; row < min(c.rows, (block + 1u) * ${ROWS}u); row++) {
    let slope = dnormed[row * c.width + j];
    gain += slope * (sum[row * c.width + j] - moments[2u * row]) * moments[2u * row + 1u];
    shift += slope;
  }
  parts[block * 2u * c.width + j] = gain;
  parts[block * 2u * c.width + c.width + j] = shift;`,
    groups: blocks * Math.ceil(width / 64),
  });
  const dgamma = allocate(backend, [width]);
  const dbeta = allocate(backend, [width]);
  sumParts(backend, parts, blocks, [dgamma, dbeta]);
  release(backend, parts);
  return { dx, dgamma, dbeta, dresidual };
});

export const addLayerNorm = [forward, gradient];
