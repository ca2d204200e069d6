import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../src/engines/gradients.js';
import '../../src/ops/kernels.js';
import { Random } from '../../src/data/random.js';
import type { Engine } from '../../src/engines/engine.js';
import { hostKernels, hostRuns, measureHostRuns, registerHostFallback } from '../../src/engines/hostFallback.js';
import { listKernels, startEngine } from '../../src/engines/index.js';
import { announce } from '../../src/engines/running.js';
import { newConfig } from '../../src/model/config.js';
import { createModel } from '../../src/model/model.js';
import { declaredKernels, implement, registerKernels } from '../../src/ops/kernel.js';
import { SOFTMAX_ATTENTION, softmaxAttentionReference } from '../../src/ops/softmaxAttention.js';
import { Optimizer } from '../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../src/training/recipe.js';
import { trainingStep } from '../../src/training/step.js';
import { relativeDifference } from '../engines.js';

/** A new engine: tensors, a matrix product and an attention; nothing else. */
class Beginner extends MathBackendCPU {}

let products = 0;
let attentions = 0;

function registerBeginner(): void {
  tf.registerBackend('beginner', () => Object.assign(new Beginner(), { firstUse: false }));
  const { kernelFunc } = tf.getKernel('BatchMatMul', 'cpu');
  tf.registerKernel({
    kernelName: 'BatchMatMul',
    backendName: 'beginner',
    kernelFunc: (call) => {
      products++;
      return kernelFunc(call);
    },
  });
  const kernel = implement<Beginner>();
  registerKernels('beginner', [
    kernel(SOFTMAX_ATTENTION.forward, ({ inputs, attributes, backend }) => {
      attentions++;
      const [qkv, keep] = [inputs.qkv, inputs.keep].map(({ dataId, shape }) =>
        tf.tensor(backend.readSync(dataId) as Float32Array, shape),
      );
      const out = softmaxAttentionReference(qkv as tf.Tensor3D, keep as tf.Tensor2D, attributes);
      const [batch, length] = qkv.shape;
      const logsumexp = backend.makeTensorInfo(
        [batch, attributes.heads, length],
        'float32',
        logsums(inputs, attributes),
      );
      const values = out.dataSync();
      return { out: backend.makeTensorInfo(out.shape, 'float32', values), logsumexp };
    }),
  ]);
  function logsums({ qkv, keep }: Record<'qkv' | 'keep', tf.TensorInfo>, { heads }: { heads: number }): Float32Array {
    const backend = tf.findBackend('beginner') as Beginner;
    const [batch, length, width] = qkv.shape;
    const size = width / 3 / heads;
    const x = backend.readSync(qkv.dataId) as Float32Array;
    const kept = backend.readSync(keep.dataId) as Float32Array;
    const sums = new Float32Array(batch * heads * length);
    const at = (b: number, l: number, part: number, h: number, e: number) =>
      x[((b * length + l) * 3 + part) * (width / 3) + h * size + e];
    for (let row = 0; row < sums.length; row++) {
      const [b, h, l] = [Math.floor(row / heads / length), Math.floor(row / length) % heads, row % length];
      let sum = 0;
      for (let key = 0; key < length; key++) {
        let score = 0;
        for (let e = 0; e < size; e++) {
          score += at(b, l, 0, h, e) * at(b, key, 1, h, e);
        }
        sum += kept[b * length + key] * Math.exp(score / Math.sqrt(size));
      }
      sums[row] = Math.log(sum);
    }
    return sums;
  }
}

const config = newConfig({
  ...{ layers: 2, hidden: 16, heads: 2, feedForward: 32, dropout: 0, length: 32 },
  attention: { kind: 'softmax' },
});

/** Losses of a few training steps. */
async function train(): Promise<number[]> {
  const model = createModel(config, 3);
  const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
  const random = new Random(5);
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) {
    const ids = Int32Array.from({ length: 24 }, () => 4 + random.int(20));
    const positions = Int32Array.of(1, 5, 13, 20);
    const pass = { ids, batch: 2, length: 12, positions, labels: positions.map((at) => ids[at]) };
    losses.push((await trainingStep(model, optimizer, [pass], { learningRate: 1e-2, seed: 1 })!).loss);
  }
  model.dispose();
  return losses;
}

describe('an engine with a matrix product and an attention', () => {
  let cpu: Engine;
  let expected: number[];
  let beginner: Engine;
  beforeAll(async () => {
    cpu = await startEngine('cpu');
    expected = await train();
    registerBeginner();
    registerHostFallback('beginner', cpu.backend, { ours: true });
    await tf.setBackend('beginner');
    beginner = announce({
      ...{ device: 'cpu', backend: 'beginner', description: 'a new engine', precision: 'f32' },
      ...{ tokensPerPass: 4096, largestTensor: Infinity, stop: async () => {} },
    });
  });
  afterAll(async () => {
    await beginner.stop();
    await cpu.stop();
  });

  it('trains as the cpu engine does, and counts what the host computed', async () => {
    let losses: number[] = [];
    const times = await measureHostRuns('beginner', async () => {
      losses = await train();
    });
    expect(relativeDifference(losses, expected)).toBeLessThan(1e-5);
    expect(attentions).toBe(3 * 2);
    const byName = new Map(times.map((entry) => [entry.name, entry]));
    // 2 blocks of 4 layers and the head's 2, at 3 steps; the two attentions have a gradient from the host.
    expect(byName.get('Linear (host)')?.runs).toBe(3 * (2 * 4 + 2));
    expect(byName.get('SoftmaxAttentionGrad (host)')?.runs).toBe(3 * 2);
    expect(byName.has('SoftmaxAttention (host)')).toBe(false);
    // What changes in place is not computed on copies.
    expect(byName.has('AdamW (host)')).toBe(false);
    for (const { milliseconds, bytes } of times) {
      expect(milliseconds).toBeGreaterThan(0);
      expect(bytes).toBeGreaterThan(0);
    }
    expect(hostRuns('beginner').length).toBe(times.length);
  });

  it('computes its own products itself', () => {
    const before = products;
    const y = tf.tidy(() => tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).dataSync());
    expect([...y]).toEqual([3, 3, 3, 3]);
    expect(products).toBe(before + 1);
  });

  it('keeps nothing on the host', () => {
    const host = tf.findBackend(cpu.backend);
    tf.tidy(() => tf.softmax(tf.concat([tf.ones([2, 3]), tf.zeros([2, 1])], 1)).dataSync());
    const before = host.numDataIds();
    tf.tidy(() => tf.softmax(tf.concat([tf.ones([2, 3]), tf.zeros([2, 1])], 1)).dataSync());
    expect(host.numDataIds()).toBe(before);
  });

  it('says which kernel failed, and why', () => {
    const call = () => tf.engine().runKernel('Softmax', { logits: tf.tensor(['a']) }, { dim: 0 });
    expect(call).toThrow(/^Softmax, which beginner lacks, cannot be computed on the host: /);
  });
});

describe('engines of their own kernels', () => {
  it('get from the host what tfjs has no kernel for', async () => {
    const wasm = await startEngine('wasm');
    try {
      expect(hostKernels('wasm')).toContain('UnsortedSegmentSum');
      // The gradient of a gather is such a sum.
      const gradient = tf.tidy(() =>
        tf
          .grad((x) => tf.sum(tf.gather(x, [0, 2, 0])))(tf.ones([3]))
          .dataSync(),
      );
      expect([...gradient]).toEqual([2, 0, 1]);
      expect(hostRuns('wasm').find(({ kernel }) => kernel === 'UnsortedSegmentSum')?.runs).toBe(1);
    } finally {
      await wasm.stop();
    }
  });

  it('are listed with what each has', async () => {
    const rows = new Map((await listKernels()).map(({ kernel, engines }) => [kernel, engines]));
    for (const { name } of declaredKernels()) {
      expect(rows.get(name)).toMatchObject({ cpu: 'own', wasm: 'reference' });
    }
    expect(rows.get('SoftmaxAttention')?.webgpu).toBe('own');
    expect(rows.get('LshAttention')?.webgpu).toBe('reference');
    expect(rows.get('UnsortedSegmentSum')).toMatchObject({ cpu: 'own', wasm: 'host', webgpu: 'own' });
    expect(rows.has('Add')).toBe(false);
  });
});
