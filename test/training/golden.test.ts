import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { loadModel } from '../../src/model/files.js';
import { Optimizer } from '../../src/training/optimizer.js';
import { PAPER_OPTIMIZER } from '../../src/training/recipe.js';
import { type Pass, passLoss, trainingStep } from '../../src/training/step.js';
import { describeEngines } from '../engines.js';
import { SHARED } from '../shared.js';

const MODELS = ['transformer', 'performer-relu', 'performer-relu-causal'];

/** A golden's batch, in passes of `rows` sequences. */
function passesOf(folder: string, rows: number): Pass[] {
  const { tensors } = readSafetensors(join(folder, 'expected.safetensors'));
  const [batch, length] = tensors.get('input_ids')!.shape;
  const ids = tensors.get('input_ids')!.data as Int32Array;
  const labels = tensors.get('labels')!.data as Int32Array;
  const passes: Pass[] = [];
  for (let row = 0; row < batch; row += rows) {
    const part = labels.subarray(row * length, (row + rows) * length);
    const positions = Int32Array.from(part.keys()).filter((i) => part[i] >= 0);
    passes.push({
      ids: ids.slice(row * length, (row + rows) * length),
      batch: Math.min(rows, batch - row),
      length,
      positions,
      labels: positions.map((i) => part[i]),
    });
  }
  return passes;
}

describeEngines('three AdamW steps agree with PyTorch', () => {
  test.skipIf(!SHARED).for(MODELS.flatMap((name) => [1, 8].map((rows) => [name, rows] as const)))(
    '%s, %d sequences a pass',
    async ([name, rows]) => {
      const folder = join(SHARED!, 'golden', name);
      const { training } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
      const model = await loadModel(folder);
      const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
      const passes = passesOf(folder, rows);
      const tensors = tf.memory().numTensors;
      for (let i = 0; i < 3; i++) {
        const result = await trainingStep(model, optimizer, passes, { learningRate: training.lr, seed: 0 })!;
        expect(result.loss / result.positions / training.losses[i]).toBeCloseTo(1, 4);
        expect(result.gradientNorm / training.grad_norms[i]).toBeCloseTo(1, 3);
        expect(tf.memory().numTensors).toBe(tensors);
      }
      const positions = passes.reduce((sum, pass) => sum + pass.positions.length, 0);
      let loss = 0;
      for (const pass of passes) {
        loss += (await tf.tidy(() => passLoss(model, pass, 1 / positions).loss).data())[0];
      }
      expect(loss / training.final_loss).toBeCloseTo(1, 4);
      optimizer.dispose();
      model.dispose();
    },
  );
});
