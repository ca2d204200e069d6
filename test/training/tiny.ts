import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll } from 'vitest';
import { RESIDUES } from '../../src/data/alphabet.js';
import { buildStore } from '../../src/data/build.js';
import { Random } from '../../src/data/random.js';
import { openStore, type TokenStore } from '../../src/data/store.js';
import { type ModelConfig, type NewModelOptions, newConfig } from '../../src/model/config.js';
import { changeRecipe, RECIPES, type Recipe } from '../../src/training/recipe.js';

/** FASTA of `count` proteins with residues of unequal frequencies, so that there is something to learn. */
export function randomFasta(count: number, seed = 1): string {
  const random = new Random(seed);
  let text = '';
  for (let i = 0; i < count; i++) {
    const length = 10 + random.int(60);
    const residues = Array.from({ length }, () => RESIDUES[Math.floor(random.uniform() ** 2 * RESIDUES.length)]);
    text += `>protein${i}\n${residues.join('')}\n`;
  }
  return text;
}

/** A temporary folder that goes when the file's tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'protein-lm-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store of a few random proteins. */
export async function tinyStore(folder: string, count = 120, seed = 1): Promise<TokenStore> {
  await buildStore(Readable.from([randomFasta(count, seed)]), folder);
  return openStore(folder);
}

/** A model that trains in milliseconds. */
export function tinyConfig(options: Partial<NewModelOptions> = {}): ModelConfig {
  return newConfig({ layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0.1, length: 48, ...options });
}

/** A recipe for it: steps of two passes. */
export function tinyRecipe(changes: Partial<Recipe> = {}): Recipe {
  const recipe = { length: 48, tokensPerBatch: 384, tokensPerPass: 192, warmup: 5, learningRate: 1e-2 };
  return changeRecipe(RECIPES['performer-tiny'], { ...recipe, ...changes }, 'test');
}
