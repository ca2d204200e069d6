import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { contactHeadOf, predictContacts } from '../../../src/interpret/contacts.js';
import { convertModel } from '../../../src/model/convert.js';
import { loadModel, saveModel } from '../../../src/model/files.js';
import type { LanguageModel } from '../../../src/model/model.js';
import { Optimizer } from '../../../src/training/optimizer.js';
import { RECIPES } from '../../../src/training/recipe.js';
import { trainingStep } from '../../../src/training/step.js';
import { describeEngines, relativeDifference } from '../../engines.js';
import { SHARED } from '../../shared.js';

/** What the families' own code computes; see the README beside the folders. */
interface Expected {
  sequences: string[];
  input_ids: number[][];
  logits?: number[][][];
  hidden?: number[][][];
  contacts?: number[][][];
}

const MASKED = [
  'esm2',
  'esm1b',
  'esm1v',
  'esm2-bfloat16',
  'esm2-float16',
  'esm2-sharded',
  'esm2-untied',
  'v4-safetensors',
  'v4-pytorch-bin',
  'v4-legacy-pickle',
  'v4-bin-sharded',
  'esm2_t2_tiny_UR50D',
  'esm1b_t2_tiny_UR50S',
  'esm1v_t2_tiny_UR90S_1',
  'esmc-hf',
  'esmc-pth',
  'amplify',
];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'families-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const place = (name: string) => join(SHARED!, 'golden/family', name);
const read = (name: string): Expected => JSON.parse(readFileSync(join(place(name), 'expected.json'), 'utf8'));

/** The rows of tokens that are no padding, flat. */
function kept(rows: number[][][], ids: number[][], pad: number): number[] {
  return rows.flatMap((sequence, i) => sequence.flatMap((row, j) => (ids[i][j] === pad ? [] : row)));
}

async function agree(model: LanguageModel, { input_ids: ids, logits, hidden }: Expected): Promise<void> {
  const { padId, hidden: width, vocabulary } = model.architecture;
  const input = tf.tensor2d(ids, undefined, 'int32');
  const states = model.encode(input);
  const compare = async (tensor: tf.Tensor, size: number, wanted: number[][][]) => {
    const values = (await tf.reshape(tensor, [ids.length, -1, size]).array()) as number[][][];
    expect(relativeDifference(kept(values, ids, padId), kept(wanted, ids, padId))).toBeLessThan(1e-4);
  };
  if (hidden) {
    await compare(states, width, hidden);
  }
  if (logits) {
    await compare(model.logits(input), vocabulary, logits);
  }
  tf.dispose([input, states]);
}

describeEngines('checkpoints of the family', () => {
  it.skipIf(!SHARED).each([...MASKED, 'headless'])(
    '%s: loads, agrees with its own code, is saved and loaded again',
    async (name) => {
      const expected = read(name);
      const model = await loadModel(place(name));
      expect(expected.hidden ?? expected.logits).toBeDefined();
      await agree(model, expected);
      await saveModel(model, join(folder, name));
      const again = await loadModel(join(folder, name));
      expect(again.config).toEqual(model.config);
      await agree(again, expected);
      expect(again.alphabet.tokens).toEqual(model.alphabet.tokens);
      model.dispose();
      again.dispose();
    },
  );

  it.skipIf(!SHARED).each(['esm2_t2_tiny_UR50D', 'esm1b_t2_tiny_UR50S'])('%s: contacts', async (name) => {
    const { sequences, input_ids: ids, contacts } = read(name);
    const model = await loadModel(place(name));
    for (const [i, sequence] of sequences.entries()) {
      const n = sequence.length;
      const tokens = Uint8Array.from(ids[i].slice(0, n + 2));
      const wanted = contacts![i].slice(0, n).flatMap((row) => row.slice(0, n));
      expect(
        relativeDifference(await predictContacts(model, tokens, (await contactHeadOf(model))!), wanted),
      ).toBeLessThan(1e-4);
    }
    model.dispose();
  });

  it.skipIf(!SHARED).each(['esm1b', 'esm2-untied', 'esmc-hf', 'amplify'])(
    '%s: trains, and becomes a Performer that trains',
    async (name) => {
      const model = await loadModel(place(name));
      const performer = await convertModel(model, { attention: { kind: 'favor-relu' } }, 1);
      for (const each of [model, performer]) {
        const optimizer = new Optimizer(each.trainable, RECIPES['performer-tiny']);
        const ids = Int32Array.from(each.alphabet.encode('MKTVRQGACDEFGHIKLMN'));
        const positions = Int32Array.of(2, 5, 9);
        const labels = positions.map((position) => ids[position]);
        const before = new Map<string, string>();
        for (const [key, variable] of each.trainable) {
          before.set(key, [...(await variable.data())].join());
        }
        const losses: number[] = [];
        for (let i = 0; i < 6; i++) {
          const pass = { ids, batch: 1, length: ids.length, positions, labels };
          const result = await trainingStep(each, optimizer, [pass], { learningRate: 0.01, seed: 1 });
          losses.push(result!.loss);
        }
        expect(losses[5]).toBeLessThan(losses[0]);
        for (const [key, variable] of each.trainable) {
          expect([...(await variable.data())].join(), key).not.toBe(before.get(key));
        }
        each.dispose();
      }
    },
  );
});
