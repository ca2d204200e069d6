import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tokens } from '../../src/data/alphabet.js';
import { type Engine, startEngine } from '../../src/engines/index.js';
import { newConfig } from '../../src/model/config.js';
import { loadModel } from '../../src/model/files.js';
import { createModel, type LanguageModel } from '../../src/model/model.js';
import {
  logLikelihoods,
  type ScoreOptions,
  scoreSequence,
  scoreVariants,
  unscorable,
} from '../../src/scoring/schemes.js';
import { applyVariant, readVariant, singleSubstitutions, type Variant } from '../../src/scoring/variants.js';
import { edgeWeights, optimalWindow, overlappingWindows } from '../../src/scoring/windows.js';
import { SHARED } from '../shared.js';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.stop());

const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';
/** Fits the golden models' 24 and 22 tokens; the second does not. */
const SHORT = 'MKTVRQGWAALLSEKH';
const LONG = 'MKTVRQGWAALLSEKHNYDPFICGGTMRWVNADEKLSSQPYH';

/** What a person would write: one pass on one sequence, no padding, log softmax in double precision. */
function plain(model: LanguageModel, tokens: Tokens): number[][] {
  const known = passes.get(model) ?? new Map<string, number[][]>();
  passes.set(model, known);
  const row = known.get(tokens.join()) ?? onePass(model, tokens);
  known.set(tokens.join(), row);
  return row;
}
const passes = new WeakMap<LanguageModel, Map<string, number[][]>>();

function onePass(model: LanguageModel, tokens: Tokens): number[][] {
  const logits = tf.tidy(() => {
    const ids = tf.tensor2d([...tokens], [1, tokens.length], 'int32');
    return model.logits(ids).arraySync()[0];
  });
  return logits.map((row) => {
    const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
    return row.map((value) => value - total);
  });
}

type Read = (tokens: Tokens, masked: number[], position: number) => number[];
const masking = (model: LanguageModel, tokens: Tokens, masked: number[]) =>
  tokens.map((token, i) => (masked.includes(i) ? model.alphabet.mask : token));

/** Whole sequence. */
const readWhole =
  (model: LanguageModel): Read =>
  (tokens, masked, position) =>
    plain(model, masking(model, tokens, masked))[position];

/** ProteinGym's get_optimal_window. */
const readOptimal =
  (model: LanguageModel, size: number): Read =>
  (tokens, masked, position) => {
    const half = Math.floor(size / 2);
    let [start, end] = [position - half, position + half];
    if (tokens.length <= size) {
      [start, end] = [0, tokens.length];
    } else if (position < half) {
      [start, end] = [0, size];
    } else if (position >= tokens.length - half) {
      [start, end] = [tokens.length - size, tokens.length];
    }
    return plain(model, masking(model, tokens, masked).slice(start, end))[position - start];
  };

/** ProteinGym's overlapping windows, accumulated over whole arrays as its script does. */
const readOverlapping =
  (model: LanguageModel, size: number): Read =>
  (tokens, masked, position) => {
    const hidden = masking(model, tokens, masked);
    const sum = new Array<number>(model.config.vocab_size).fill(0);
    let weights = 0;
    for (const start of overlappingWindows(tokens.length, size)) {
      if (position < start || position >= start + size) {
        continue;
      }
      const weight = edgeWeights(size)[position - start];
      weights += weight;
      plain(model, hidden.slice(start, start + size))[position - start].forEach((value, v) => {
        sum[v] += weight * value;
      });
    }
    return sum.map((value) => value / weights);
  };

/** The definitions, one variant and one position at a time. */
function byDefinition(
  model: LanguageModel,
  wildType: string,
  variant: Variant,
  scheme: string,
  read: Read,
  readUnmasked = read,
): number {
  const { alphabet } = model;
  const mutated = applyVariant(wildType, variant);
  const tokens = alphabet.encode(wildType);
  const mutant = alphabet.encode(mutated);
  const pll = (sequence: string) => {
    const ids = alphabet.encode(sequence);
    return [...sequence].reduce((sum, _, i) => sum + read(ids, [i + 1], i + 1)[ids[i + 1]], 0);
  };
  if (mutated.length !== wildType.length) {
    return pll(mutated) / mutated.length - pll(wildType) / wildType.length;
  }
  if (scheme === 'pseudo-perplexity') {
    return pll(mutated) - pll(wildType);
  }
  const sites = variant.edits.map((edit) => edit.start + 1);
  return sites.reduce((sum, site) => {
    const row =
      scheme === 'masked-marginals'
        ? read(tokens, [site], site)
        : scheme === 'mask-together'
          ? read(tokens, sites, site)
          : readUnmasked(scheme === 'wt-marginals' ? tokens : mutant, [], site);
    return sum + row[mutant[site]] - row[tokens[site]];
  }, 0);
}

const optionsOf = (scheme: string): ScoreOptions =>
  scheme === 'mask-together'
    ? { scheme: 'masked-marginals', maskTogether: true }
    : { scheme: scheme as ScoreOptions['scheme'] };
const SCHEMES = ['masked-marginals', 'mask-together', 'wt-marginals', 'mutant-marginals', 'pseudo-perplexity'];
const place = (wildType: string, texts: string[]) => texts.map((text) => readVariant(wildType, text));

describe.skipIf(!SHARED).each(['esm2', 'performer-relu'])('%s of the goldens', (name) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadModel(join(SHARED!, 'golden', name));
  });
  afterAll(() => model.dispose());

  it.each(SCHEMES)('%s equals a plain loop over single passes', async (scheme) => {
    const variants = place(SHORT, [
      'K2A',
      'K2C',
      'V4W:R5A',
      'R5A:V4W',
      'M1L:H16A:K15R',
      'W8X',
      'K2_V4del',
      'E14_K15insAA',
    ]);
    const scores = await scoreVariants([model], SHORT, variants, { ...optionsOf(scheme), tokensPerBatch: 100 });
    variants.forEach((variant, i) => {
      expect(scores[i], variant.name).toBeCloseTo(byDefinition(model, SHORT, variant, scheme, readWhole(model)), 5);
    });
  });

  it.each(SCHEMES)('%s in windows', async (scheme) => {
    const variants = place(LONG, ['K2A', 'R28A', 'N31D:H42A', 'A10G:L11G', 'T26del']);
    const [optimal, overlapping] = [readOptimal(model, 20), readOverlapping(model, 20)];
    for (const [mode, read, readUnmasked] of [
      [undefined, optimal, overlapping],
      ['optimal', optimal, optimal],
      ['overlapping', overlapping, overlapping],
    ] as const) {
      const options = { ...optionsOf(scheme), window: { mode, size: 20 } };
      const scores = await scoreVariants([model], LONG, variants, options);
      variants.forEach((variant, i) => {
        const expected = byDefinition(model, LONG, variant, scheme, read, readUnmasked);
        expect(scores[i], `${variant.name} ${mode}`).toBeCloseTo(expected, 5);
      });
    }
  });

  it('a score depends neither on its batch mates nor on padding', async () => {
    const [variant, ...others] = place(SHORT, ['Q6A', 'V4W:R5A', 'K2_V4del']);
    for (const scheme of SCHEMES) {
      const [alone] = await scoreVariants([model], SHORT, [variant!], { ...optionsOf(scheme), tokensPerBatch: 1 });
      for (const tokensPerBatch of [50, 10_000]) {
        const all = await scoreVariants([model], SHORT, [...others, variant!], {
          ...optionsOf(scheme),
          tokensPerBatch,
        });
        expect(all.at(-1), scheme).toBeCloseTo(alone!, 5);
      }
    }
  });

  it('pseudo-perplexity equals its definition', async () => {
    const tokens = model.alphabet.encode(SHORT);
    let sum = 0;
    for (let i = 1; i <= SHORT.length; i++) {
      sum += readWhole(model)(tokens, [i], i)[tokens[i]];
    }
    expect(await scoreSequence([model], SHORT, { scheme: 'pseudo-perplexity' })).toBeCloseTo(
      Math.exp(-sum / SHORT.length),
      4,
    );
    const row = plain(model, tokens);
    const single = [...SHORT].reduce((total, _, i) => total + row[i + 1][tokens[i + 1]], 0);
    for await (const value of logLikelihoods(model, [SHORT], { likelihood: 'single-pass' })) {
      expect(value).toBeCloseTo(single, 4);
    }
  });

  it('scores insertions and deletions per residue, and by sums where asked', async () => {
    const variants = place(SHORT, ['K2_V4del']);
    const plls: number[] = [];
    for await (const value of logLikelihoods(model, [applyVariant(SHORT, variants[0]), SHORT])) {
      plls.push(value);
    }
    for (const perResidue of [undefined, true]) {
      const [score] = await scoreVariants([model], SHORT, variants, { perResidue });
      expect(score).toBeCloseTo(plls[0] / 13 - plls[1] / 16, 5);
    }
    const [sum] = await scoreVariants([model], SHORT, variants, { perResidue: false });
    expect(sum).toBeCloseTo(plls[0] - plls[1], 5);
  });

  it('leaks no tensor', async () => {
    const before = tf.memory().numTensors;
    await scoreVariants([model], SHORT, place(SHORT, ['K2A', 'K2_V4del']));
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('whatever the model', () => {
  const tiny = { layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0 };
  const models: LanguageModel[] = [];
  const make = (options: Parameters<typeof newConfig>[0], seed: number) => {
    const model = createModel(newConfig(options), seed);
    // Fresh weights give nearly even odds: larger ones make scores that tell a mistake.
    for (const variable of model.trainable.values()) {
      tf.tidy(() => variable.assign(tf.mul(variable, 8)));
    }
    models.push(model);
    return model;
  };
  afterAll(() => {
    for (const model of models) {
      model.dispose();
    }
  });

  it('an ensemble averages', async () => {
    const [a, b] = [make(tiny, 1), make(tiny, 2)];
    const variants = place(SHORT, ['K2A', 'V4W:R5A', 'K2del']);
    const [one, two, both] = await Promise.all([[a], [b], [a, b]].map((set) => scoreVariants(set, SHORT, variants)));
    both!.forEach((score, i) => {
      expect(score).toBeCloseTo((one![i] + two![i]) / 2, 10);
    });
  });

  it('synonymous variants and the wild type score 0, what has no token NaN', async () => {
    const model = make(tiny, 3);
    const variants = place(SHORT, ['K2K', 'WT', 'p.Lys2=', 'K2*', 'K2J', 'K2X', `M1_H16del`]);
    const scores = await scoreVariants([model], SHORT, variants);
    expect([...scores.slice(0, 5)]).toEqual([0, 0, 0, Number.NaN, Number.NaN]);
    expect(scores[5]).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(scores[6]).toBeNaN();
    expect(variants.map((variant) => unscorable(model, SHORT, variant)).filter(Boolean)).toEqual([
      'stop codon',
      'unknown letter J',
      'no residue left',
    ]);
  });

  it('masks each position once in a scan, and computes equal sequences once', async () => {
    const model = make(tiny, 4);
    const count = async (variants: Variant[], options: ScoreOptions) => {
      let [calls, total] = [0, 0];
      const onProgress = (_: number, all: number) => {
        calls++;
        total = all;
      };
      await scoreVariants([model], SHORT, variants, { ...options, onProgress });
      expect(calls).toBe(total);
      return calls;
    };
    const scan = [...singleSubstitutions(SHORT, RESIDUES)];
    expect(scan).toHaveLength(19 * 16);
    expect(await count(scan, {})).toBe(16);
    expect(await count(scan, { scheme: 'wt-marginals' })).toBe(1);
    const twins = place(SHORT, ['K2A:R5A', 'R5A:K2A', 'K2C:R5C']);
    expect(await count(twins, { maskTogether: true })).toBe(1);
    expect(await count(twins, { scheme: 'mutant-marginals' })).toBe(2);
    expect(await count(place(SHORT, ['A9del', 'A10del']), { indels: 'single-pass' })).toBe(2);
    expect(await count(place(SHORT, ['A9del', 'A10del']), {})).toBe(16 + 15);
  });

  it('linear attention with rotary positions takes a long sequence whole', async () => {
    const model = make({ ...tiny, positions: 'rotary', length: 24 }, 5);
    const [variant] = place(LONG, ['R28A']);
    const [score] = await scoreVariants([model], LONG, [variant!]);
    expect(score).toBeCloseTo(byDefinition(model, LONG, variant!, 'masked-marginals', readWhole(model)), 5);
    const [windowed] = await scoreVariants([model], LONG, [variant!], { window: { size: 24 } });
    expect(windowed).toBeCloseTo(byDefinition(model, LONG, variant!, 'masked-marginals', readOptimal(model, 24)), 5);
  });

  it('refuses a whole sequence and a window beyond the positions', async () => {
    const model = make({ ...tiny, length: 24 }, 6);
    const variants = place(LONG, ['R28A']);
    await expect(scoreVariants([model], LONG, variants, { window: { mode: 'whole' } })).rejects.toThrow(
      'a sequence of 44 tokens: this model takes 24; use --window optimal or overlapping',
    );
    await expect(scoreVariants([model], LONG, variants, { window: { size: 25 } })).rejects.toThrow('--window-size');
  });

  it('a causal model scores by log-likelihood', async () => {
    const model = make({ ...tiny, attention: { kind: 'favor-relu', causal: true } }, 7);
    const variants = place(SHORT, ['K2A', 'V4W:R5A', 'K2del']);
    const likelihood = (sequence: string) => {
      const tokens = model.alphabet.encode(sequence);
      const rows = plain(model, tokens);
      return [...tokens].slice(1).reduce((sum, token, i) => sum + rows[i][token], 0);
    };
    const scores = await scoreVariants([model], SHORT, variants);
    variants.slice(0, 2).forEach((variant, i) => {
      expect(scores[i]).toBeCloseTo(likelihood(applyVariant(SHORT, variant)) - likelihood(SHORT), 5);
    });
    const deletion =
      likelihood(applyVariant(SHORT, variants[2])) / (SHORT.length - 1) - likelihood(SHORT) / SHORT.length;
    expect(scores[2]).toBeCloseTo(deletion, 5);
    await expect(scoreVariants([model], SHORT, variants, { scheme: 'wt-marginals' })).rejects.toThrow('log-likelihood');
  });

  const gene = 'ACNGTA';

  it('nucleotides count in likelihoods, their ambiguous letters do not', async () => {
    const causal = make({ ...tiny, alphabet: 'nucleotide', attention: { kind: 'favor-relu', causal: true } }, 8);
    const tokens = causal.alphabet.encode(gene);
    const rows = plain(causal, tokens);
    const expected = [1, 2, 4, 5, 6, 7].reduce((sum, i) => sum + rows[i - 1][tokens[i]], 0);
    expect(await scoreSequence([causal], gene, { scheme: 'log-likelihood' })).toBeCloseTo(expected, 4);
    const masked = make({ ...tiny, alphabet: 'nucleotide' }, 8);
    const pll = [1, 2, 4, 5, 6].reduce((sum, i) => sum + readWhole(masked)(tokens, [i], i)[tokens[i]], 0);
    expect(await scoreSequence([masked], gene, { scheme: 'pseudo-perplexity' })).toBeCloseTo(Math.exp(-pll / 5), 4);
  });

  it('ambiguous nucleotides have no score', async () => {
    const model = make({ ...tiny, alphabet: 'nucleotide' }, 8);
    const variants = [
      ...place(gene, ['A1N', 'N3A', 'A1L', 'A1G']),
      readVariant(gene, '1A>G', { alphabet: 'nucleotide' }),
    ];
    const scores = await scoreVariants([model], gene, variants);
    expect([...scores].map(Number.isNaN)).toEqual([true, true, true, false, false]);
    expect(scores[3]).toBe(scores[4]);
    expect(unscorable(model, gene, variants[0])).toBe('letter N, which the model does not predict');
  });
});

describe('windows are ProteinGym’s', () => {
  it('clamped at both ends', () => {
    expect(optimalWindow(3, 100, 24)).toEqual({ start: 0, end: 24 });
    expect(optimalWindow(12, 100, 24)).toEqual({ start: 0, end: 24 });
    expect(optimalWindow(13, 100, 24)).toEqual({ start: 1, end: 25 });
    expect(optimalWindow(88, 100, 24)).toEqual({ start: 76, end: 100 });
    expect(optimalWindow(5, 20, 24)).toEqual({ start: 0, end: 20 });
  });

  it('overlapping for its 1024 tokens', () => {
    // What the loop of its compute_fitness.py gives.
    expect(overlappingWindows(1025, 1024)).toEqual([0, 1]);
    expect(overlappingWindows(1865, 1024)).toEqual([0, 420, 841]);
    expect(overlappingWindows(2048, 1024)).toEqual([0, 511, 513, 1024]);
    expect(overlappingWindows(2558, 1024)).toEqual([0, 511, 1023, 1534]);
    const weights = edgeWeights(1024);
    expect(weights[0]).toBe(1);
    expect(weights[128]).toBe(0.5);
    expect(weights[512]).toBe(1);
    expect(weights[894]).toBe(0.5);
    expect(weights[1023]).toBe(1);
  });
});
