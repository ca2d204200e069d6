import { FAVOR_TRIG_ATTENTION } from '../../../ops/favorTrigAttention.js';
import { implement } from '../../../ops/kernel.js';
import type { NativeBackend } from '../backend.js';
import { headShape } from './heads.js';

// In float64: near a denominator of zero, float32 loses what the comparison with the paper is about.

const kernel = implement<NativeBackend>();

const forward = kernel(FAVOR_TRIG_ATTENTION.forward, ({ inputs, attributes, backend }) => {
  const { qkv, keep, projection } = inputs;
  const { batch, length, headSize } = headShape(qkv, attributes.heads);
  const width = attributes.heads * headSize;
  const out = backend.output([batch, length, width]);
  const results = backend.floats(out);
  forEachHead(batch, attributes.heads, (sequence, head) => {
    const rows = readHead(backend.floats(qkv), sequence, head, length, attributes.heads, headSize);
    const kept = backend.floats(keep).subarray(sequence * length, (sequence + 1) * length);
    const state = attend(rows, kept, backend.floats(projection), length, headSize, attributes.causal);
    for (let i = 0; i < length; i++) {
      const to = (sequence * length + i) * width + head * headSize;
      for (let j = 0; j < headSize; j++) {
        results[to + j] = state.out[i * headSize + j];
      }
    }
  });
  return { out };
});

const gradient = kernel(FAVOR_TRIG_ATTENTION.gradient, ({ inputs, attributes, backend }) => {
  const { dy, qkv, keep, projection } = inputs;
  const { batch, length, headSize } = headShape(qkv, attributes.heads);
  const width = attributes.heads * headSize;
  const dqkv = backend.output(qkv.shape);
  const results = backend.floats(dqkv);
  forEachHead(batch, attributes.heads, (sequence, head) => {
    const rows = readHead(backend.floats(qkv), sequence, head, length, attributes.heads, headSize);
    const dout = new Float64Array(length * headSize);
    for (let i = 0; i < length; i++) {
      const from = (sequence * length + i) * width + head * headSize;
      for (let j = 0; j < headSize; j++) {
        dout[i * headSize + j] = backend.floats(dy)[from + j];
      }
    }
    const kept = backend.floats(keep).subarray(sequence * length, (sequence + 1) * length);
    const gradients = attendGrad(rows, kept, backend.floats(projection), dout, length, headSize, attributes.causal);
    for (let i = 0; i < length; i++) {
      for (const [part, values] of [gradients.q, gradients.k, gradients.v].entries()) {
        const to = (sequence * length + i) * 3 * width + part * width + head * headSize;
        for (let j = 0; j < headSize; j++) {
          results[to + j] = values[i * headSize + j];
        }
      }
    }
  });
  return { dqkv };
});

export const favorTrigAttention = [forward, gradient];

/** Queries, keys and values of one head [L, d] each. */
interface HeadRows {
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
}

function forEachHead(batch: number, heads: number, run: (sequence: number, head: number) => void): void {
  for (let sequence = 0; sequence < batch; sequence++) {
    for (let head = 0; head < heads; head++) {
      run(sequence, head);
    }
  }
}

function readHead(
  qkv: Float32Array,
  sequence: number,
  head: number,
  length: number,
  heads: number,
  size: number,
): HeadRows {
  const width = heads * size;
  const part = (index: number) => {
    const rows = new Float64Array(length * size);
    for (let i = 0; i < length; i++) {
      const from = (sequence * length + i) * 3 * width + index * width + head * size;
      for (let j = 0; j < size; j++) {
        rows[i * size + j] = qkv[from + j];
      }
    }
    return rows;
  };
  return { q: part(0), k: part(1), v: part(2) };
}

/** [cos u, sin u] with u = d^-1/4 W x: [L, 2 m]. */
function features(x: Float64Array, projection: Float32Array, length: number, size: number): Float64Array {
  const count = projection.length / size;
  const scale = size ** -0.25;
  const phi = new Float64Array(length * 2 * count);
  for (let i = 0; i < length; i++) {
    for (let m = 0; m < count; m++) {
      let angle = 0;
      for (let j = 0; j < size; j++) {
        angle += x[i * size + j] * projection[m * size + j];
      }
      phi[i * 2 * count + m] = Math.cos(scale * angle);
      phi[i * 2 * count + count + m] = Math.sin(scale * angle);
    }
  }
  return phi;
}

/** The keys' factors exp(|c k|²/2 - s), zero for padding: [L]. */
function keyWeights(k: Float64Array, keep: Float32Array, length: number, size: number): Float64Array {
  const weights = new Float64Array(length).fill(-Infinity);
  for (let i = 0; i < length; i++) {
    if (keep[i] === 0) {
      continue;
    }
    let square = 0;
    for (let j = 0; j < size; j++) {
      square += k[i * size + j] ** 2;
    }
    weights[i] = square / (2 * Math.sqrt(size));
  }
  const peak = weights.reduce((a, b) => Math.max(a, b), -Infinity);
  return weights.map((weight) => (weight === -Infinity ? 0 : Math.exp(weight - peak)));
}

/**
 * Forward pass of one head. `visit(i, sums)` is called for each query with the sums over the keys that it sees,
 * [2 m, d + 1]: of features times values, and of features.
 */
function attend(
  { q, k, v }: HeadRows,
  keep: Float32Array,
  projection: Float32Array,
  length: number,
  size: number,
  causal: boolean,
  visit?: (i: number, sums: Float64Array) => void,
) {
  const queries = features(q, projection, length, size);
  const keys = features(k, projection, length, size);
  const weights = keyWeights(k, keep, length, size);
  const count = queries.length / length;
  const sums = new Float64Array(count * (size + 1));
  const out = new Float64Array(length * size);
  const denominators = new Float64Array(length);
  const add = (i: number) => {
    if (weights[i] === 0) {
      return;
    }
    for (let f = 0; f < count; f++) {
      const phi = keys[i * count + f] * weights[i];
      for (let j = 0; j < size; j++) {
        sums[f * (size + 1) + j] += phi * v[i * size + j];
      }
      sums[f * (size + 1) + size] += phi;
    }
  };
  if (!causal) {
    for (let i = 0; i < length; i++) {
      add(i);
    }
  }
  const total = new Float64Array(size + 1);
  for (let i = 0; i < length; i++) {
    if (causal) {
      add(i);
    }
    total.fill(0);
    for (let f = 0; f < count; f++) {
      for (let j = 0; j <= size; j++) {
        total[j] += queries[i * count + f] * sums[f * (size + 1) + j];
      }
    }
    denominators[i] = total[size];
    for (let j = 0; j < size; j++) {
      out[i * size + j] = total[j] / total[size];
    }
    visit?.(i, sums);
  }
  return { out, denominators, queries, keys, weights, count };
}

/** Gradients of one head: the stabiliser cancels, so it has none. */
function attendGrad(
  rows: HeadRows,
  keep: Float32Array,
  projection: Float32Array,
  dout: Float64Array,
  length: number,
  size: number,
  causal: boolean,
): HeadRows {
  const { k, v } = rows;
  const row = size + 1;
  const plain = attend(rows, keep, projection, length, size, causal);
  const { queries, keys, weights, count } = plain;
  // Gradients of numerators and denominators: [L, d + 1].
  const dtotal = new Float64Array(length * row);
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < size; j++) {
      const gradient = dout[i * size + j] / plain.denominators[i];
      dtotal[i * row + j] = gradient;
      dtotal[i * row + size] -= gradient * plain.out[i * size + j];
    }
  }
  const dqueries = new Float64Array(queries.length);
  attend(rows, keep, projection, length, size, causal, (i, sums) => {
    for (let f = 0; f < count; f++) {
      let gradient = 0;
      for (let j = 0; j <= size; j++) {
        gradient += sums[f * row + j] * dtotal[i * row + j];
      }
      dqueries[i * count + f] = gradient;
    }
  });
  // A key's gradient comes from the queries that see it: in causal attention those from its own position on.
  const dkeys = new Float64Array(keys.length);
  const dweights = new Float64Array(length);
  const dv = new Float64Array(v.length);
  const dsums = new Float64Array(count * row);
  const add = (i: number) => {
    for (let f = 0; f < count; f++) {
      for (let j = 0; j <= size; j++) {
        dsums[f * row + j] += queries[i * count + f] * dtotal[i * row + j];
      }
    }
  };
  if (!causal) {
    for (let i = 0; i < length; i++) {
      add(i);
    }
  }
  for (let i = length - 1; i >= 0; i--) {
    if (causal) {
      add(i);
    }
    if (weights[i] === 0) {
      continue;
    }
    for (let f = 0; f < count; f++) {
      const phi = keys[i * count + f];
      let gradient = dsums[f * row + size];
      for (let j = 0; j < size; j++) {
        gradient += dsums[f * row + j] * v[i * size + j];
        dv[i * size + j] += phi * weights[i] * dsums[f * row + j];
      }
      dkeys[i * count + f] = gradient * weights[i];
      dweights[i] += gradient * phi;
    }
  }
  const dq = featuresGrad(queries, dqueries, projection, length, size);
  const dk = featuresGrad(keys, dkeys, projection, length, size);
  for (let i = 0; i < length; i++) {
    const factor = (dweights[i] * weights[i]) / Math.sqrt(size);
    for (let j = 0; j < size; j++) {
      dk[i * size + j] += factor * k[i * size + j];
    }
  }
  return { q: dq, k: dk, v: dv };
}

/** The gradient through [cos u, sin u]. */
function featuresGrad(
  phi: Float64Array,
  dphi: Float64Array,
  projection: Float32Array,
  length: number,
  size: number,
): Float64Array {
  const count = projection.length / size;
  const scale = size ** -0.25;
  const dx = new Float64Array(length * size);
  for (let i = 0; i < length; i++) {
    for (let m = 0; m < count; m++) {
      const cos = i * 2 * count + m;
      const sin = cos + count;
      const dangle = scale * (phi[cos] * dphi[sin] - phi[sin] * dphi[cos]);
      for (let j = 0; j < size; j++) {
        dx[i * size + j] += dangle * projection[m * size + j];
      }
    }
  }
  return dx;
}
