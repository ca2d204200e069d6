import type { TensorInfo } from '@tensorflow/tfjs-core';
import { LINEAR, LINEAR_GRAD } from '../../../ops/linear.js';
import type { Gpu } from '../gpu.js';
import { GELU } from './gelu.js';
import { allocate, largest, launch, launchElements, release, sumParts } from './launch.js';
import { matrixProduct, splitsFor } from './matrixProduct.js';
import { kernel, sizeOf } from './register.js';

const forward = kernel(LINEAR, ({ inputs: { x, w, b }, attributes: { activation }, backend }) => {
  const [rows, inner] = x.shape;
  const columns = w.shape[0];
  const y = allocate(backend, [rows, columns]);
  const withGelu = activation === 'gelu';
  const before = withGelu ? allocate(backend, [rows, columns]) : undefined;
  const sum = b ? 'value + b[column]' : 'value';
  matrixProduct(backend, {
    name: 'Linear',
    half: true,
    inputs: { x, w, b },
    outputs: { y, ...(before && { before }) },
    declarations: withGelu ? GELU : '',
    rows,
    columns,
    inner,
    a: 'x[row * c.inner + k]',
    aAlong: 'k',
    b: 'w[column * c.inner + k]',
    bAlong: 'k',
    store: withGelu
      ? `let z = ${sum}; before[row * c.columns + column] = z; y[row * c.columns + column] = gelu(z);`
      : `y[row * c.columns + column] = ${sum};`,
  });
  return { y, preActivation: before };
});

const gradient = kernel(LINEAR_GRAD, ({ inputs: { dy, x, w, b, preActivation }, backend }) => {
  const slope = preActivation ? throughGelu(backend, dy, preActivation) : dy;
  const [rows, outputs] = dy.shape;
  // Gradients may be smaller than 16-bit floats get: each is scaled as it needs.
  const scales = backend.matrixUnits && scaleOf(backend, slope);
  const half = { half: true, scale: 'scales[0]', unscale: 'scales[1]' };
  const inputs = x.shape[1];
  const dx = allocate(backend, [rows, inputs]);
  matrixProduct(backend, {
    name: 'LinearGradInput',
    ...half,
    inputs: { dy: slope, w, scales },
    outputs: { dx },
    rows,
    columns: inputs,
    inner: outputs,
    a: 'dy[row * c.inner + k]',
    aAlong: 'k',
    b: 'w[k * c.columns + column]',
    bAlong: 'column',
    store: 'dx[row * c.columns + column] = value;',
  });
  const dw = allocate(backend, [outputs, inputs]);
  const db = b && allocate(backend, [outputs]);
  const splits = splitsFor(outputs, inputs, rows);
  const parts = splits > 1 ? allocate(backend, [splits, outputs * (inputs + (b ? 1 : 0))]) : undefined;
  matrixProduct(backend, {
    name: 'LinearGradWeight',
    ...half,
    inputs: { dy: slope, x, scales },
    outputs: parts ? { parts } : { dw, ...(db && { db }) },
    rows: outputs,
    columns: inputs,
    inner: rows,
    splits,
    constants: { part: outputs * (inputs + (b ? 1 : 0)) },
    a: 'dy[k * c.rows + row]',
    aAlong: 'row',
    b: 'x[k * c.columns + column]',
    bAlong: 'column',
    weight: db && '1.0',
    store: parts
      ? 'parts[split * c.part + row * c.columns + column] = value;'
      : 'dw[row * c.columns + column] = value;',
    storeRow: db && (parts ? 'parts[split * c.part + c.rows * c.columns + row] = rowDot;' : 'db[row] = rowDot;'),
  });
  if (parts) {
    sumParts(backend, parts, splits, db ? [dw, db] : [dw]);
  }
  release(backend, parts, scales, slope === dy ? undefined : slope);
  return { dx, dw, db };
});

export const linear = [forward, gradient];

/**
 * The power of two that brings a tensor's largest value to about 2¹⁰, and its inverse: 16-bit floats reach from 2⁻²⁴ to
 * 2¹⁶. It takes the place of a scaled loss (Micikevicius et al. 2018, section 3.2), and cannot overflow. Infinities
 * and NaN stay what they are.
 */
function scaleOf(backend: Gpu, x: TensorInfo): TensorInfo {
  const size = sizeOf(x.shape);
  const blocks = Math.min(1024, Math.ceil(size / 1024));
  const parts = allocate(backend, [blocks]);
  const scales = allocate(backend, [2]);
  launch(backend, {
    name: 'LargestParts',
    inputs: { x },
    outputs: { parts },
    constants: { size },
    declarations: largest(256),
    body: `
  var best = 0.0;
  for (var i = group * 256u + lane; i < c.size; i += c.groups * 256u) { best = max(best, abs(x[i])); }
  let all = largest(best, lane);
  if (lane == 0u) { parts[group] = all; }`,
    groups: blocks,
  });
  launch(backend, {
    name: 'Scale',
    inputs: { parts },
    outputs: { scales },
    constants: { blocks },
    declarations: largest(256),
    body: `
  var best = 0.0;
  for (var i = lane; i < c.blocks; i += 256u) { best = max(best, parts[i]); }
  let all = largest(best, lane);
  if (lane == 0u) {
    let power = select(10.0 - clamp(floor(log2(all)), -110.0, 128.0), 0.0, all == 0.0);
    scales[0] = exp2(power);
    scales[1] = exp2(-power);
  }`,
    groups: 1,
  });
  release(backend, parts);
  return scales;
}

/** dy · gelu'(z), z being what entered the GELU. */
function throughGelu(backend: Gpu, dy: TensorInfo, z: TensorInfo): TensorInfo {
  const dz = allocate(backend, dy.shape);
  launchElements(backend, {
    name: 'GeluGrad',
    inputs: { dy, z },
    outputs: { dz },
    declarations: GELU,
    body: 'dz[i] = dy[i] * gelu_slope(z[i]);',
    size: sizeOf(dy.shape),
  });
  return dz;
}
