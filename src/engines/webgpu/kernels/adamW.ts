import type { TensorInfo } from '@tensorflow/tfjs-core';
import { ADAM_W, type AdamWAttributes } from '../../../ops/adamW.js';
import type { Gpu } from '../gpu.js';
import { allocate, launch, reduction, release } from './launch.js';
import { kernel, sizeOf } from './register.js';

/** By their letters in the code below. */
type Lists = Record<'p' | 'm' | 'v' | 'g', TensorInfo[]>;

// Elements that one workgroup takes.
const BLOCK = 4096;

export const adamW = kernel(ADAM_W, ({ inputs, attributes, backend }) => {
  const { hyper, parameters: p, firstMoments: m, secondMoments: v, gradients: g } = inputs;
  const slots = [...p.keys()];
  const blocks = p.map(({ shape }) => Math.ceil(sizeOf(shape) / BLOCK));
  const norm = globalNorm(backend, g, blocks);
  // As many tensors to a launch as the device binds at once.
  const together = Math.max(1, Math.floor((backend.device.limits.maxStorageBuffersPerShaderStage - 2) / 4));
  for (let start = 0; start < slots.length; start += together) {
    const part = slots.slice(start, start + together);
    update(backend, hyper, { p, m, v, g }, norm, part, blocks, attributes);
  }
  return { norm };
});

/** The norm of all gradients together, a scalar. */
function globalNorm(backend: Gpu, gradients: TensorInfo[], blocks: number[]): TensorInfo {
  const count = blocks.reduce((a, b) => a + b, 0);
  const squares = allocate(backend, [count]);
  const together = backend.device.limits.maxStorageBuffersPerShaderStage - 1;
  let done = 0;
  for (let start = 0; start < gradients.length; start += together) {
    const part = gradients.slice(start, start + together);
    const ends = runningSums(blocks.slice(start, start + together));
    const groups = ends[ends.length - 1];
    launch(backend, {
      name: 'AdamWSquares',
      inputs: Object.fromEntries(part.map((gradient, i) => [`g${i}`, gradient])),
      outputs: { squares },
      constants: {
        done,
        ...Object.fromEntries(
          part.flatMap(({ shape }, i) => [
            [`end${i}`, ends[i]],
            [`size${i}`, sizeOf(shape)],
          ]),
        ),
      },
      declarations: reduction(256),
      body: `
  var sum = 0.0;
  ${part
    .map(
      (_, i) => `${i > 0 ? 'else ' : ''}if (group < c.end${i}) {
    let start = (group - ${i > 0 ? `c.end${i - 1}` : '0u'}) * ${BLOCK}u;
    for (var i = start + lane; i < min(c.size${i}, start + ${BLOCK}u); i += 256u) { sum += g${i}[i] * g${i}[i]; }
  }`,
    )
    .join('\n  ')}
  let total = reduce(sum, lane);
  if (lane == 0u) { squares[c.done + group] = total; }`,
      groups,
    });
    done += groups;
  }
  const norm = allocate(backend, []);
  launch(backend, {
    name: 'AdamWNorm',
    inputs: { squares },
    outputs: { norm },
    constants: { count },
    declarations: reduction(256),
    body: `
  var sum = 0.0;
  for (var i = lane; i < c.count; i += 256u) { sum += squares[i]; }
  let total = reduce(sum, lane);
  if (lane == 0u) { norm[0] = sqrt(total); }`,
    groups: 1,
  });
  release(backend, squares);
  return norm;
}

function update(
  backend: Gpu,
  hyper: TensorInfo,
  lists: Lists,
  norm: TensorInfo,
  part: number[],
  blocks: number[],
  { beta1, beta2, epsilon, weightDecay, maxNorm }: AdamWAttributes,
): void {
  const ends = runningSums(part.map((slot) => blocks[slot]));
  const named = (kind: keyof Lists) => part.map((slot, i) => [`${kind}${i}`, lists[kind][slot]]);
  launch(backend, {
    name: 'AdamW',
    inputs: { hyper, norm, ...Object.fromEntries(named('g')) },
    outputs: Object.fromEntries([...named('p'), ...named('m'), ...named('v')]),
    constants: Object.fromEntries(
      part.flatMap((slot, i) => [
        [`end${i}`, ends[i]],
        [`size${i}`, sizeOf(lists.p[slot].shape)],
      ]),
    ),
    floats: {
      beta1,
      rest1: 1 - beta1,
      beta2,
      rest2: 1 - beta2,
      epsilon,
      max_norm: maxNorm,
      ...Object.fromEntries(part.map((slot, i) => [`decay${i}`, weightDecay[slot]])),
    },
    body: `
  let rate = hyper[0];
  let clip = min(1.0, c.max_norm / (norm[0] + 1e-6));
  ${part
    .map(
      (_, i) => `${i > 0 ? 'else ' : ''}if (group < c.end${i}) {
    let start = (group - ${i > 0 ? `c.end${i - 1}` : '0u'}) * ${BLOCK}u;
    for (var i = start + lane; i < min(c.size${i}, start + ${BLOCK}u); i += 256u) {
      let g = g${i}[i] * clip;
      let m = c.beta1 * m${i}[i] + c.rest1 * g;
      let v = c.beta2 * v${i}[i] + c.rest2 * g * g;
      m${i}[i] = m;
      v${i}[i] = v;
      p${i}[i] = p${i}[i] * (1.0 - rate * c.decay${i}) - rate * (m / hyper[1]) / (sqrt(v / hyper[2]) + c.epsilon);
    }
  }`,
    )
    .join('\n  ')}`,
    groups: ends[ends.length - 1],
  });
}

function runningSums(values: number[]): number[] {
  let sum = 0;
  return values.map((value) => {
    sum += value;
    return sum;
  });
}
