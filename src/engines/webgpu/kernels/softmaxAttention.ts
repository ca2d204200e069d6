import type { TensorInfo } from '@tensorflow/tfjs-core';
import { SOFTMAX_ATTENTION, type SoftmaxOptions } from '../../../ops/softmaxAttention.js';
import type { Gpu } from '../gpu.js';
import { allocate, launch, launchElements, release } from './launch.js';
import { kernel } from './register.js';

// Queries (or keys) of a workgroup, one to a thread, and keys (or queries) that are fetched at once.
const ROWS = 64;
const TILE = 16;

/**
 * One thread for each row of queries (or keys), which goes through all rows of the other side: those lie in tiles that
 * the workgroup reads together. Neither scores nor probabilities are stored (Dao et al. 2022).
 */
function throughRows(
  backend: Gpu,
  qkv: TensorInfo,
  { heads, causal }: SoftmaxOptions,
  kernel: {
    name: string;
    inputs: Record<string, TensorInfo>;
    outputs: Record<string, TensorInfo>;
    /** The two tiles: rows of `token` that are fetched, element e. */
    tiles: [first: string, second: string];
    /** Scalars of a fetched row that go with it. */
    scalar: string;
    /** Own rows are queries, so that causal ones see fetched rows up to their own; else the other way round. */
    own: 'queries' | 'keys';
    begin: string;
    /** Of a fetched row n at `token`, whose elements are first_tile[n * SIZE + e] and second_tile[n * SIZE + e]. */
    each: string;
    end: string;
  },
): void {
  const [batch, length, width] = qkv.shape;
  const size = width / 3 / heads;
  const blocks = Math.ceil(length / ROWS);
  const range =
    kernel.own === 'queries'
      ? ['0u', causal ? 'min(c.length, first + 64u)' : 'c.length']
      : [causal ? 'first' : '0u', 'c.length'];
  const seen = causal ? (kernel.own === 'queries' ? 'token <= own' : 'token >= own') : 'true';
  launch(backend, {
    name: kernel.name,
    inputs: kernel.inputs,
    outputs: kernel.outputs,
    constants: { length, heads, blocks },
    floats: { scale: 1 / Math.sqrt(size) },
    declarations: `
const SIZE = ${size}u;
var<workgroup> first_tile: array<f32, ${TILE * size}>;
var<workgroup> second_tile: array<f32, ${TILE * size}>;
var<workgroup> scalars: array<f32, ${TILE}>;
fn row_at(sequence: u32, l: u32, e: u32) -> u32 {
  return ((sequence / c.heads * c.length + l) * c.heads + sequence % c.heads) * SIZE + e;
}
fn at(sequence: u32, l: u32, part: u32, e: u32) -> u32 {
  return (((sequence / c.heads * c.length + l) * 3u + part) * c.heads + sequence % c.heads) * SIZE + e;
}
fn scalar_at(sequence: u32, l: u32) -> u32 { return sequence * c.length + l; }
fn kept(sequence: u32, l: u32) -> bool { return keep[sequence / c.heads * c.length + l] > 0.0; }`,
    threads: ROWS,
    body: `
  let sequence = group / c.blocks;
  let first = group % c.blocks * ${ROWS}u;
  let own = min(c.length - 1u, first + lane);
  ${kernel.begin}
  for (var start = ${range[0]}; start < ${range[1]}; start += ${TILE}u) {
    workgroupBarrier();
    for (var i = lane; i < ${TILE}u * SIZE; i += ${ROWS}u) {
      let token = min(c.length - 1u, start + i / SIZE);
      let e = i % SIZE;
      first_tile[i] = ${kernel.tiles[0]};
      second_tile[i] = ${kernel.tiles[1]};
    }
    if (lane < ${TILE}u) {
      let token = min(c.length - 1u, start + lane);
      scalars[lane] = ${kernel.scalar};
    }
    workgroupBarrier();
    for (var n = 0u; n < ${TILE}u; n++) {
      let token = start + n;
      if (token >= c.length || !(${seen})) { continue; }
      ${kernel.each}
    }
  }
  if (first + lane < c.length) {
    ${kernel.end}
  }`,
    groups: batch * heads * blocks,
  });
}

/** WGSL: reads a row of the own side into an array. */
const own = (name: string, element: string) =>
  `var ${name}: array<f32, SIZE>; for (var e = 0u; e < SIZE; e++) { ${name}[e] = ${element}; }`;
/** WGSL: the product of an own row and a fetched one. */
const dot = (name: string, row: string, tile: string) =>
  `var ${name} = 0.0; for (var e = 0u; e < SIZE; e++) { ${name} += ${row}[e] * ${tile}[n * SIZE + e]; }`;

const forward = kernel(SOFTMAX_ATTENTION.forward, ({ inputs: { qkv, keep }, attributes, backend }) => {
  const [batch, length, width] = qkv.shape;
  const out = allocate(backend, [batch, length, width / 3]);
  const logsums = allocate(backend, [batch, attributes.heads, length]);
  throughRows(backend, qkv, attributes, {
    name: 'SoftmaxAttention',
    inputs: { qkv, keep },
    outputs: { out, logsums },
    tiles: ['qkv[at(sequence, token, 1u, e)]', 'qkv[at(sequence, token, 2u, e)]'],
    scalar: 'select(0.0, 1.0, kept(sequence, token))',
    own: 'queries',
    begin: `${own('q', 'qkv[at(sequence, own, 0u, e)] * c.scale')} ${own('sums', '0.0')}
  var largest = -1e30;
  var total = 0.0;`,
    each: `
      if (scalars[n] == 0.0) { continue; }
      ${dot('score', 'q', 'first_tile')}
      if (score > largest) {
        let shrink = exp(largest - score);
        total *= shrink;
        for (var e = 0u; e < SIZE; e++) { sums[e] *= shrink; }
        largest = score;
      }
      let p = exp(score - largest);
      total += p;
      for (var e = 0u; e < SIZE; e++) { sums[e] += p * second_tile[n * SIZE + e]; }`,
    end: `
    let sum = select(total, 1.0, total == 0.0);
    for (var e = 0u; e < SIZE; e++) { out[row_at(sequence, own, e)] = sums[e] / sum; }
    logsums[scalar_at(sequence, own)] = largest + log(sum);`,
  });
  return { out, logsumexp: logsums };
});

const gradient = kernel(SOFTMAX_ATTENTION.gradient, ({ inputs, attributes, backend }) => {
  const { dy, qkv, keep, out, logsumexp: logsums } = inputs;
  const [batch, length, width] = qkv.shape;
  const { heads } = attributes;
  const dqkv = allocate(backend, qkv.shape);
  const deltas = allocate(backend, [batch, heads, length]);
  launchElements(backend, {
    name: 'SoftmaxGradDelta',
    inputs: { dy, out },
    outputs: { deltas },
    constants: { length, heads, size: width / 3 / heads },
    body: `
    let row = (i / c.length / c.heads * c.length + i % c.length) * c.heads + i / c.length % c.heads;
    var sum = 0.0;
    for (var e = 0u; e < c.size; e++) { sum += dy[row * c.size + e] * out[row * c.size + e]; }
    deltas[i] = sum;`,
    size: batch * heads * length,
  });
  throughRows(backend, qkv, attributes, {
    name: 'SoftmaxGradQuery',
    inputs: { qkv, keep, dy, logsums, deltas },
    outputs: { dqkv },
    tiles: ['qkv[at(sequence, token, 1u, e)]', 'qkv[at(sequence, token, 2u, e)]'],
    scalar: 'select(0.0, 1.0, kept(sequence, token))',
    own: 'queries',
    begin: `${own('q', 'qkv[at(sequence, own, 0u, e)] * c.scale')} ${own('dout', 'dy[row_at(sequence, own, e)]')} ${own('dq', '0.0')}
  let logsum = logsums[scalar_at(sequence, own)];
  let delta = deltas[scalar_at(sequence, own)];`,
    each: `
      if (scalars[n] == 0.0) { continue; }
      ${dot('score', 'q', 'first_tile')}
      ${dot('dp', 'dout', 'second_tile')}
      let ds = exp(score - logsum) * (dp - delta) * c.scale;
      for (var e = 0u; e < SIZE; e++) { dq[e] += ds * first_tile[n * SIZE + e]; }`,
    end: 'for (var e = 0u; e < SIZE; e++) { dqkv[at(sequence, own, 0u, e)] = dq[e]; }',
  });
  throughRows(backend, qkv, attributes, {
    name: 'SoftmaxGradValue',
    inputs: { qkv, keep, dy, logsums },
    outputs: { dqkv },
    tiles: ['qkv[at(sequence, token, 0u, e)]', 'dy[row_at(sequence, token, e)]'],
    scalar: 'logsums[scalar_at(sequence, token)]',
    own: 'keys',
    begin: `${own('k', 'qkv[at(sequence, own, 1u, e)] * c.scale')} ${own('dv', '0.0')}
  let own_kept = kept(sequence, own);`,
    each: `
      ${dot('score', 'k', 'first_tile')}
      let p = select(0.0, exp(score - scalars[n]), own_kept);
      for (var e = 0u; e < SIZE; e++) { dv[e] += p * second_tile[n * SIZE + e]; }`,
    end: 'for (var e = 0u; e < SIZE; e++) { dqkv[at(sequence, own, 2u, e)] = dv[e]; }',
  });
  throughRows(backend, qkv, attributes, {
    name: 'SoftmaxGradKey',
    inputs: { qkv, keep, dy, logsums, deltas },
    outputs: { dqkv },
    tiles: ['qkv[at(sequence, token, 0u, e)]', 'dy[row_at(sequence, token, e)]'],
    scalar: 'logsums[scalar_at(sequence, token)]',
    own: 'keys',
    begin: `${own('k', 'qkv[at(sequence, own, 1u, e)] * c.scale')} ${own('v', 'qkv[at(sequence, own, 2u, e)]')} ${own('dk', '0.0')}
  let own_kept = kept(sequence, own);`,
    each: `
      ${dot('score', 'k', 'first_tile')}
      ${dot('dp', 'v', 'second_tile')}
      let p = select(0.0, exp(score - scalars[n]), own_kept);
      let ds = p * (dp - deltas[scalar_at(sequence, token)]) * c.scale;
      for (var e = 0u; e < SIZE; e++) { dk[e] += ds * first_tile[n * SIZE + e]; }`,
    end: 'for (var e = 0u; e < SIZE; e++) { dqkv[at(sequence, own, 1u, e)] = dk[e]; }',
  });
  release(backend, deltas);
  return { dqkv };
});

export const softmaxAttention = [forward, gradient];
