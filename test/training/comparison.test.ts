import { describe, expect, it } from 'vitest';
import { parseComparison } from '../../src/training/comparison/config.js';

const file = {
  fasta: ['proteins.fasta'],
  training: { budget: { steps: 100 } },
  seeds: [1],
  attentions: { ReLU: { kind: 'favor-relu' }, Transformer: { kind: 'softmax' } },
  transfer: { from: 'Transformer', to: ['ReLU'] },
  lengths: { lengths: [64] },
};
const parse = (changes: object) => parseComparison(JSON.stringify({ ...file, ...changes }), 'compare.json');

describe('recompute', () => {
  it('marks the cells of the attentions that it names, and changes no other', () => {
    const plain = parse({}).cells;
    const named = parse({ recompute: ['Transformer'] }).cells;
    expect(named.map(({ attention, recompute }) => recompute === (attention === 'Transformer' || undefined))).toEqual(
      plain.map(() => true),
    );
    const same = (cells: typeof plain) =>
      cells.filter(({ attention, kind }) => attention !== 'Transformer' && kind !== 'transfer');
    expect(same(named).map(({ id }) => id)).toEqual(same(plain).map(({ id }) => id));
    expect(parse({ recompute: true }).cells.every(({ recompute }) => recompute)).toBe(true);
    expect(plain.some((cell) => 'recompute' in cell)).toBe(false);
  });

  it.each([
    [{ recompute: ['Reformer'] }, 'recompute names Reformer, which attentions lacks'],
    [{ recompute: 1 }, 'recompute is 1; give true or a list of attentions'],
  ])('%j is an error', (changes, message) => {
    expect(() => parse(changes)).toThrow(`compare.json: ${message}`);
  });
});

describe('transfer', () => {
  const transfersOf = (transfer: object, objectives = ['masked']) =>
    parse({ objectives, transfer: { from: 'Transformer', ...transfer } }).cells.filter(
      ({ kind }) => kind === 'transfer',
    );

  it('may go to attentions that are not trained from the start', () => {
    const many = { kind: 'favor-softmax', num_features: 2048 };
    const cells = transfersOf({ to: ['ReLU', 'FAVOR+'], attentions: { 'FAVOR+': many } });
    expect(cells.map(({ attention }) => attention)).toEqual(['ReLU', 'FAVOR+']);
    // As `convert` has it: smaller than a new model's.
    expect(cells[1].config.attention).toMatchObject({ ...many, kernel_epsilon: 1e-15 });
    expect(parse({ transfer: undefined }).cells.map(({ attention }) => attention)).not.toContain('FAVOR+');
  });

  it('leaves Linformer out where attention is causal', () => {
    const attentions = { Linformer: { kind: 'linformer' } };
    const cells = transfersOf({ to: ['ReLU', 'Linformer'], attentions }, ['masked', 'causal']);
    expect(cells.map(({ id }) => id.split('-').slice(1, 3).join(' '))).toEqual([
      'relu masked',
      'linformer masked',
      'relu causal',
    ]);
  });

  it('is of the objectives that it names', () => {
    const cells = transfersOf({ to: ['ReLU'], objectives: ['causal'] }, ['masked', 'causal']);
    expect(cells.map(({ config }) => config.attention.causal)).toEqual([true]);
  });

  it('names what it does not know', () => {
    expect(() => transfersOf({ to: ['Reformer'] })).toThrow('transfer names Reformer, which attentions lacks');
    expect(() => transfersOf({ to: ['FAVOR+'], attentions: { 'FAVOR+': { kind: 'favour' } } })).toThrow(
      'compare.json: attentions.FAVOR+: attention.kind is "favour"',
    );
  });
});

describe('lengths', () => {
  it('are measured once, however long the training is', () => {
    const lengthsOf = (steps: number) =>
      parse({ training: { budget: { steps } } }).cells.flatMap(({ kind, id }) => (kind === 'length' ? [id] : []));
    expect(lengthsOf(200)).toEqual(lengthsOf(100));
    expect(lengthsOf(200)).toHaveLength(3);
  });
});

describe('alphabets', () => {
  it('give the model its tokens, and rows that are packed', () => {
    const [cell] = parse({ alphabet: 'bytes', fasta: undefined, files: ['books'] }).cells;
    expect(cell!.config).toMatchObject({ alphabet: 'bytes', vocab_size: 261 });
    expect(cell!.recipe.mode).toBe('packed');
    expect(parse({}).cells[0].recipe.mode).toBe('single');
    expect(() => parse({ alphabet: 'codons' })).toThrow('alphabet is "codons"; give protein or nucleotide or bytes');
    expect(() => parse({ files: ['a'] })).toThrow('give either data, fasta or files');
  });
});
