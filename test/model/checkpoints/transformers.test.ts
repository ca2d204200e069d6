import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { newConfig } from '../../../src/model/config.js';
import { saveModel } from '../../../src/model/files.js';
import { createModel } from '../../../src/model/model.js';
import { describeEngines, relativeDifference } from '../../engines.js';

/** A Debian root with python3-transformers and python3-torch in it. */
const root = process.env.PROTEIN_LM_TRANSFORMERS_ROOT;

const SCRIPT = `
import json, sys, torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
folder = sys.argv[1]
model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
ids = AutoTokenizer.from_pretrained(folder)('MKTVRQGACDEFGHIK')['input_ids']
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits.flatten().tolist()
print(json.dumps({'ids': ids, 'logits': logits, 'report': {key: sorted(map(str, value)) for key, value in info.items() if value}}))
`;

describeEngines('what we save as exact attention', () => {
  it.skipIf(!root || !existsSync(root)).each(['rotary', 'absolute'] as const)(
    '%s: is opened by transformers with equal logits (needs PROTEIN_LM_TRANSFORMERS_ROOT)',
    async (positions) => {
      const sizes = { layers: 2, hidden: 32, heads: 4, feedForward: 64, dropout: 0, length: 64 };
      const model = createModel(newConfig({ ...sizes, positions, attention: { kind: 'softmax' } }), 3);
      const folder = mkdtempSync(join(root!, 'tmp', 'saved-'));
      try {
        await saveModel(model, folder);
        writeFileSync(join(folder, 'open.py'), SCRIPT);
        const inside = folder.slice(root!.length);
        const { stdout, stderr } = spawnSync('chroot', [root!, 'python3', join(inside, 'open.py'), inside], {
          encoding: 'utf8',
        });
        const line = stdout.split('\n').find((text) => text.startsWith('{'));
        expect(line, stderr).toBeDefined();
        const { ids, logits, report } = JSON.parse(line!);
        expect(report).toEqual({});
        expect(ids).toEqual([...model.alphabet.encode('MKTVRQGACDEFGHIK')]);
        const ours = await model.logits(tf.tensor2d([ids], undefined, 'int32')).data();
        expect(relativeDifference(ours, logits)).toBeLessThan(1e-5);
      } finally {
        rmSync(folder, { recursive: true });
        model.dispose();
      }
    },
    // Python imports torch anew.
    180_000,
  );
});
