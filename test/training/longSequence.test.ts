import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { PROTEIN } from '../../src/data/alphabet.js';
import { newConfig } from '../../src/model/config.js';
import { createModel } from '../../src/model/model.js';
import { passGradients } from '../../src/training/step.js';
import { describeEngines } from '../engines.js';
import { SHARED } from '../shared.js';

/** The longest sequence of a gzipped FASTA file. */
async function longestSequence(path: string): Promise<string> {
  let longest = '';
  let current: string[] = [];
  const end = () => {
    const sequence = current.join('');
    if (sequence.length > longest.length) {
      longest = sequence;
    }
    current = [];
  };
  for await (const line of createInterface({ input: createReadStream(path).pipe(createGunzip()) })) {
    if (line.startsWith('>')) {
      end();
    } else {
      current.push(line);
    }
  }
  end();
  return longest;
}

describeEngines('the longest sequence of the corpus', (device) => {
  // In plain operations on wasm it would take minutes.
  it.skipIf(!SHARED || device === 'wasm')('trains and is predicted whole', async () => {
    const sequence = await longestSequence(join(SHARED!, 'data/corpus/uniprot_proteomes.fasta.gz'));
    expect(sequence).toHaveLength(10_549);
    const ids = Int32Array.from(PROTEIN.encode(sequence));
    const length = ids.length;
    const config = newConfig({ layers: 4, hidden: 32, heads: 2, feedForward: 64, dropout: 0.1, length });
    expect(config.max_position_embeddings).toBe(10_553);
    const model = createModel(config, 1);
    const positions = Int32Array.from({ length: 1500 }, (_, i) => 1 + 7 * i);
    const pass = { ids, batch: 1, length, positions, labels: positions.map((i) => ids[i]) };
    const run = async (recompute: boolean) => {
      const { loss, correct, gradients } = passGradients(model, pass, 1 / positions.length, {
        dropoutSeed: 1,
        recompute,
      });
      const values: tf.TypedArray[] = [];
      for (const gradient of gradients.values()) {
        values.push((await gradient.data()).slice());
      }
      const result = { loss: (await loss.data())[0], values };
      tf.dispose([loss, correct, ...gradients.values()]);
      return result;
    };
    const plain = await run(false);
    const recomputed = await run(true);
    expect(Math.abs(plain.loss - Math.log(33))).toBeLessThan(0.5);
    expect(recomputed).toEqual(plain);
    const logits = model.logits(tf.tensor2d(ids, [1, length], 'int32'));
    expect(logits.shape).toEqual([1, length, 33]);
    expect((await logits.data()).every(Number.isFinite)).toBe(true);
    logits.dispose();
    model.dispose();
  });
});
