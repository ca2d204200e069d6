import type { TensorInfo } from '@tensorflow/tfjs-core';
import { FAVOR_RELU_ATTENTION, type FavorReluOptions } from '../../../ops/favorReluAttention.js';
import type { Gpu } from '../gpu.js';
import { allocate, launchElements, release, sumParts } from './launch.js';
import { matrixProduct, splitsFor } from './matrixProduct.js';
import { kernel } from './register.js';

// Tokens of a chunk: the rows of a tile of the matrix product. Causal attention forms scores within a chunk, and
// between chunks carries the sums over keys.
const CHUNK = 64;

/** The products below read the fused projection where it lies, and compute features as they read. */
interface Shape {
  batch: number;
  length: number;
  heads: number;
  size: number;
  features: number;
  chunks: number;
  causal: boolean;
  /** One for each sequence and head. */
  sequences: number;
  constants: Record<string, number>;
  floats: Record<string, number>;
  declarations: string;
}

function shapeOf(
  qkv: TensorInfo,
  projection: TensorInfo | undefined,
  { heads, epsilon, causal }: FavorReluOptions,
): Shape {
  const [batch, length, width] = qkv.shape;
  const size = width / 3 / heads;
  const features = projection ? projection.shape[0] : size;
  const chunks = Math.ceil(length / CHUNK);
  return {
    batch,
    length,
    heads,
    size,
    features,
    chunks,
    causal,
    sequences: batch * heads,
    constants: { length, heads, size, features, chunks },
    floats: { epsilon },
    // at: element e of query, key or value (part 0, 1, 2) of token l; row: the same in a tensor [B, L, D].
    declarations: `
fn row_at(sequence: u32, l: u32, e: u32) -> u32 {
  return ((sequence / c.heads * c.length + l) * c.heads + sequence % c.heads) * c.size + e;
}
fn at(sequence: u32, l: u32, part: u32, e: u32) -> u32 {
  return (((sequence / c.heads * c.length + l) * 3u + part) * c.heads + sequence % c.heads) * c.size + e;
}
fn projected(sequence: u32, l: u32, part: u32, m: u32) -> f32 {
  ${
    projection
      ? `var sum = 0.0;
  for (var e = 0u; e < c.size; e++) { sum += projection[m * c.size + e] * qkv[at(sequence, l, part, e)]; }
  return sum;`
      : 'return qkv[at(sequence, l, part, m)];'
  }
}
// Not max(x, 0), which may turn NaN into 0 and hide that a run diverges.
fn relu(x: f32) -> f32 { return select(x, 0.0, x < 0.0); }
fn query(sequence: u32, l: u32, m: u32) -> f32 { return relu(projected(sequence, l, 0u, m)) + c.epsilon; }
fn key(sequence: u32, l: u32, m: u32) -> f32 {
  return (relu(projected(sequence, l, 1u, m)) + c.epsilon) * keep[sequence / c.heads * c.length + l];
}`,
  };
}

// Sums over tokens are kept as states [.., features, size + 1]: the last column goes without values.
const STATE = 'fn state_at(state: u32, m: u32, e: u32) -> u32 { return (state * c.features + m) * (c.size + 1u) + e; }';
/** In the products over tokens of a chunk: which sequence and which of its tokens a batch and a row are. */
const WHERE = `let sequence = batch / c.chunks; let first = batch % c.chunks * ${CHUNK}u;`;

/**
 * Sums of features times rows over tokens: over all of them, or for causal attention over those of the chunks before
 * each chunk (`reverse`: behind it).
 * @returns [sequences, features, size + 1], or causal [sequences · chunks, features, size + 1]
 */
function states(
  backend: Gpu,
  shape: Shape,
  inputs: Record<string, TensorInfo | undefined>,
  code: { feature: string; row: string; weight: string; declarations?: string },
  reverse: boolean,
): TensorInfo {
  const { causal, sequences, chunks, features, size, length } = shape;
  const batches = causal ? sequences * chunks : sequences;
  const splits = causal ? 1 : splitsFor(features, size, length, sequences);
  const parts = allocate(backend, [splits, batches, features, size + 1]);
  const token = causal
    ? `${WHERE} let l = first + k; if (l >= c.length) { return 0.0; }`
    : 'let sequence = batch; let l = k;';
  matrixProduct(backend, {
    name: reverse ? 'FavorGradSums' : 'FavorSums',
    inputs,
    outputs: { parts },
    constants: { ...shape.constants, batches },
    floats: shape.floats,
    declarations: `${shape.declarations}${STATE}${code.declarations ?? ''}`,
    rows: features,
    columns: size,
    inner: causal ? CHUNK : length,
    batches,
    splits,
    a: `${token} return ${code.feature};`,
    aAlong: 'row',
    b: `${token} return ${code.row};`,
    bAlong: 'column',
    weight: `${token} return ${code.weight};`,
    store: 'parts[state_at(split * c.batches + batch, row, column)] = value;',
    storeRow: 'parts[state_at(split * c.batches + batch, row, c.size)] = rowDot;',
  });
  if (causal) {
    runningSums(backend, parts, sequences, chunks, features * (size + 1), reverse);
    return parts;
  }
  if (splits === 1) {
    return parts;
  }
  const sum = allocate(backend, [batches, features, size + 1]);
  sumParts(backend, parts, splits, [sum]);
  release(backend, parts);
  return sum;
}

/** Replaces each chunk's sums by the sums of the chunks before it (or behind it). */
function runningSums(
  backend: Gpu,
  sums: TensorInfo,
  sequences: number,
  chunks: number,
  state: number,
  reverse: boolean,
): void {
  launchElements(backend, {
    name: 'FavorRunningSums',
    inputs: {},
    outputs: { sums },
    constants: { chunks, state },
    body: `
    let start = i / c.state * c.chunks * c.state + i % c.state;
    var sum = 0.0;
    for (var n = 0u; n < c.chunks; n++) {
      let at = start + ${reverse ? '(c.chunks - 1u - n)' : 'n'} * c.state;
      let own = sums[at];
      sums[at] = sum;
      sum += own;
    }`,
    size: sequences * state,
  });
}

/** A product of a chunk's tokens with one another, where the column's is no later: [sequences · chunks, 64, 64]. */
function withinChunks(
  backend: Gpu,
  shape: Shape,
  inputs: Record<string, TensorInfo | undefined>,
  code: { name: string; inner: number; a: string; b: string; add?: string; declarations?: string },
): TensorInfo {
  const batches = shape.sequences * shape.chunks;
  const scores = allocate(backend, [batches, CHUNK, CHUNK]);
  matrixProduct(backend, {
    name: code.name,
    inputs,
    outputs: { scores },
    constants: shape.constants,
    floats: shape.floats,
    declarations: `${shape.declarations}${code.declarations ?? ''}`,
    rows: CHUNK,
    columns: CHUNK,
    inner: code.inner,
    batches,
    a: `${WHERE} let l = first + row; if (l >= c.length) { return 0.0; } return ${code.a};`,
    aAlong: 'k',
    b: `${WHERE} let l = first + column; if (l >= c.length) { return 0.0; } return ${code.b};`,
    bAlong: 'k',
    store: `${WHERE}
    let seen = column <= row && first + row < c.length;
    scores[(batch * ${CHUNK}u + row) * ${CHUNK}u + column] = select(0.0, value${code.add ?? ''}, seen);`,
  });
  return scores;
}

/** Products over the state and, causal, over the chunk's own tokens: one inner dimension after the other. */
function overTokens(
  backend: Gpu,
  shape: Shape,
  inputs: Record<string, TensorInfo | undefined>,
  outputs: Record<string, TensorInfo>,
  code: {
    name: string;
    columns: number;
    inner: number;
    /** Of `sequence`, `l`, `state`, `k`. */
    a: string;
    b: string;
    bAlong: 'column' | 'k';
    /** Within the chunk, of `batch`, `row`, `other` (a token's index in the chunk); its token is `l`. */
    ownA: string;
    ownB: string;
    weight?: string;
    store: string;
    storeRow?: string;
    declarations?: string;
  },
): void {
  const { causal, sequences, chunks } = shape;
  const state = causal ? 'let state = batch;' : 'let state = sequence;';
  const own = (value: string) =>
    causal
      ? `if (k >= c.over_state) { let other = k - c.over_state; let l = first + other; if (l >= c.length) { return 0.0; } return ${value}; }`
      : '';
  matrixProduct(backend, {
    name: code.name,
    inputs,
    outputs,
    constants: { ...shape.constants, over_state: code.inner },
    floats: shape.floats,
    declarations: `${shape.declarations}${STATE}${code.declarations ?? ''}`,
    rows: CHUNK,
    columns: code.columns,
    inner: code.inner + (causal ? CHUNK : 0),
    batches: sequences * chunks,
    a: `${WHERE} ${state} ${own(code.ownA)} let l = first + row; if (l >= c.length) { return 0.0; } return ${code.a};`,
    aAlong: 'k',
    b: `${WHERE} ${state} ${own(code.ownB)} return ${code.b};`,
    bAlong: code.bAlong,
    weight: code.weight && `${WHERE} ${state} ${own('1.0')} return ${code.weight};`,
    store: `${WHERE} ${state} let l = first + row; if (l >= c.length) { return; } ${code.store}`,
    storeRow: code.storeRow && `${WHERE} let l = first + row; if (l >= c.length) { return; } ${code.storeRow}`,
  });
}

const SCORE = `scores[(batch * ${CHUNK}u + row) * ${CHUNK}u + other]`;
const SCORE_TRANSPOSED = `scores[(batch * ${CHUNK}u + other) * ${CHUNK}u + row]`;

function forwardStates(backend: Gpu, shape: Shape, inputs: Record<string, TensorInfo | undefined>): TensorInfo {
  const code = { feature: 'key(sequence, l, row)', row: 'qkv[at(sequence, l, 2u, column)]', weight: '1.0' };
  return states(backend, shape, inputs, code, false);
}

function featureScores(backend: Gpu, shape: Shape, inputs: Record<string, TensorInfo | undefined>): TensorInfo {
  const code = { name: 'FavorScores', inner: shape.features, a: 'query(sequence, l, k)', b: 'key(sequence, l, k)' };
  return withinChunks(backend, shape, inputs, code);
}

const forward = kernel(FAVOR_RELU_ATTENTION.forward, ({ inputs: { qkv, keep, projection }, attributes, backend }) => {
  const shape = shapeOf(qkv, projection, attributes);
  const { batch, length, size, sequences, features, causal } = shape;
  const inputs = { qkv, keep, projection };
  const sums = forwardStates(backend, shape, inputs);
  const scores = causal ? featureScores(backend, shape, inputs) : undefined;
  const out = allocate(backend, [batch, length, shape.heads * size]);
  const denominators = allocate(backend, [sequences, length]);
  overTokens(
    backend,
    shape,
    { ...inputs, sums, scores },
    { out, denominators },
    {
      name: 'FavorOut',
      columns: size,
      inner: features,
      a: 'query(sequence, l, k)',
      b: 'sums[state_at(state, k, column)]',
      bAlong: 'column',
      ownA: SCORE,
      ownB: 'qkv[at(sequence, l, 2u, column)]',
      weight: 'sums[state_at(state, k, c.size)]',
      // Nothing is kept where the sum is zero: any finite value will do.
      store: 'out[row_at(sequence, l, column)] = value / select(rowDot, 1.0, rowDot == 0.0);',
      storeRow: 'denominators[sequence * c.length + l] = select(rowDot, 1.0, rowDot == 0.0);',
    },
  );
  release(backend, scores);
  if (!causal) {
    return { out, denominators, sums };
  }
  release(backend, sums);
  return { out, denominators };
});

const gradient = kernel(FAVOR_RELU_ATTENTION.gradient, ({ inputs: given, attributes, backend }) => {
  const { dy, qkv, keep, projection, out, denominators } = given;
  const shape = shapeOf(qkv, projection, attributes);
  const { length, size, sequences, features, causal } = shape;
  const inputs = { qkv, keep, projection };
  // Through out = numerator / denominator: gradients of both, the numerator's being dy / denominator.
  const slopes = allocate(backend, [sequences, length]);
  launchElements(backend, {
    name: 'FavorGradDenominator',
    inputs: { dy, out, denominators },
    outputs: { slopes },
    constants: shape.constants,
    body: `
    let row = (i / c.length / c.heads * c.length + i % c.length) * c.heads + i / c.length % c.heads;
    var sum = 0.0;
    for (var e = 0u; e < c.size; e++) { sum += dy[row * c.size + e] * out[row * c.size + e]; }
    slopes[i] = -sum / denominators[i];`,
    size: sequences * length,
  });
  const upstream = {
    declarations: `
fn slope(sequence: u32, l: u32, e: u32) -> f32 { return dy[row_at(sequence, l, e)] / denominators[sequence * c.length + l]; }`,
    inputs: { dy, denominators },
  };
  const sums = given.sums ?? forwardStates(backend, shape, inputs);
  const dsums = states(
    backend,
    shape,
    { qkv, keep, projection, ...upstream.inputs, slopes },
    {
      feature: 'query(sequence, l, row)',
      row: 'slope(sequence, l, column)',
      weight: 'slopes[sequence * c.length + l]',
      declarations: upstream.declarations,
    },
    true,
  );
  const scores = causal ? featureScores(backend, shape, inputs) : undefined;
  const dscores = causal
    ? withinChunks(
        backend,
        shape,
        { ...inputs, ...upstream.inputs, slopes },
        {
          name: 'FavorGradScores',
          inner: size,
          a: 'slope(sequence, l, k)',
          b: 'qkv[at(sequence, l, 2u, k)]',
          add: ' + slopes[sequence * c.length + first + row]',
          declarations: upstream.declarations,
        },
      )
    : undefined;
  const dqkv = allocate(backend, qkv.shape);
  overTokens(
    backend,
    shape,
    { ...inputs, ...upstream.inputs, dsums, scores },
    { dqkv },
    {
      name: 'FavorGradValue',
      columns: size,
      inner: features,
      a: 'key(sequence, l, k)',
      b: 'dsums[state_at(state, k, column)]',
      bAlong: 'column',
      ownA: SCORE_TRANSPOSED,
      ownB: 'slope(sequence, l, column)',
      store: 'dqkv[at(sequence, l, 2u, column)] = value;',
      declarations: upstream.declarations,
    },
  );
  // With a projection, gradients of the features go through W once more.
  const dfeatures = projection ? allocate(backend, [sequences, length, features]) : undefined;
  const gate = (part: number, value: string) =>
    dfeatures
      ? `dfeatures[(sequence * c.length + l) * c.features + column] = select(0.0, ${value}, projected(sequence, l, ${part}u, column) > 0.0);`
      : `dqkv[at(sequence, l, ${part}u, column)] = select(0.0, ${value}, projected(sequence, l, ${part}u, column) > 0.0);`;
  const target: Record<string, TensorInfo> = dfeatures ? { dfeatures } : { dqkv };
  const own = dscores && { scores: dscores };
  overTokens(backend, shape, { ...inputs, ...upstream.inputs, slopes, sums, ...own }, target, {
    name: 'FavorGradQuery',
    columns: features,
    inner: size,
    a: 'slope(sequence, l, k)',
    b: 'sums[state_at(state, column, k)]',
    bAlong: 'k',
    ownA: SCORE,
    ownB: 'key(sequence, l, column)',
    store: gate(0, '(value + slopes[sequence * c.length + l] * sums[state_at(state, column, c.size)])'),
    declarations: upstream.declarations,
  });
  if (dfeatures && projection) {
    throughProjection(backend, shape, dfeatures, projection, dqkv, 0);
  }
  overTokens(backend, shape, { ...inputs, dsums, ...own }, target, {
    name: 'FavorGradKey',
    columns: features,
    inner: size,
    a: 'qkv[at(sequence, l, 2u, k)]',
    b: 'dsums[state_at(state, column, k)]',
    bAlong: 'k',
    ownA: SCORE_TRANSPOSED,
    ownB: 'query(sequence, l, column)',
    store: gate(1, '(value + dsums[state_at(state, column, c.size)]) * keep[sequence / c.heads * c.length + l]'),
  });
  if (dfeatures && projection) {
    throughProjection(backend, shape, dfeatures, projection, dqkv, 1);
  }
  release(backend, slopes, dsums, scores, dscores, dfeatures, causal ? sums : undefined);
  return { dqkv };
});

export const favorReluAttention = [forward, gradient];

/** dqkv's queries or keys (part 0, 1) = dfeatures W. */
function throughProjection(
  backend: Gpu,
  shape: Shape,
  dfeatures: TensorInfo,
  projection: TensorInfo,
  dqkv: TensorInfo,
  part: number,
): void {
  matrixProduct(backend, {
    name: 'FavorGradProjection',
    inputs: { dfeatures, projection },
    outputs: { dqkv },
    constants: { length: shape.length, heads: shape.heads, size: shape.size, part },
    rows: shape.length,
    columns: shape.size,
    inner: shape.features,
    batches: shape.sequences,
    a: 'dfeatures[(batch * c.rows + row) * c.inner + k]',
    aAlong: 'k',
    b: 'projection[k * c.columns + column]',
    bAlong: 'column',
    store: `
    let token = (batch / c.heads * c.length + row) * 3u + c.part;
    dqkv[(token * c.heads + batch % c.heads) * c.size + column] = value;`,
  });
}
