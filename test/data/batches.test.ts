import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PROTEIN, RESIDUES } from '../../src/data/alphabet.js';
import {
  type BatchCursor,
  bucketLengths,
  evaluationBatches,
  microBatches,
  type TokenBatch,
  type TrainingBatch,
  type TrainingBatchOptions,
  trainingBatches,
} from '../../src/data/batches.js';
import { maskForEvaluation } from '../../src/data/masking.js';
import { Random } from '../../src/data/random.js';
import { sequencesInMemory } from '../../src/data/sequences.js';

function proteins(count: number, longest: number, seed = 1) {
  const random = new Random(seed);
  const records = Array.from({ length: count }, (_, i) => {
    const length = 1 + random.int(longest);
    return { id: `p${i}`, sequence: Array.from({ length }, () => RESIDUES[random.int(20)]).join('') };
  });
  return { records, source: sequencesInMemory(records) };
}

function take(
  source: ReturnType<typeof proteins>['source'],
  options: TrainingBatchOptions,
  count: number,
  cursor?: BatchCursor,
): TrainingBatch[] {
  const batches: TrainingBatch[] = [];
  for (const batch of trainingBatches(source, options, cursor)) {
    batches.push(batch);
    if (batches.length === count) {
      break;
    }
  }
  return batches;
}

/** All batches of the first epoch. */
function firstEpoch(source: ReturnType<typeof proteins>['source'], options: TrainingBatchOptions): TrainingBatch[] {
  const batches: TrainingBatch[] = [];
  for (const batch of trainingBatches(source, options)) {
    batches.push(batch);
    if (batch.cursor.epoch > 0) {
      break;
    }
  }
  return batches;
}

/** The rows as text, with the right letters put back, without padding. */
function rows(batch: TokenBatch): string[] {
  const ids = batch.ids.slice();
  batch.positions.forEach((position, i) => {
    ids[position] = batch.labels[i];
  });
  return Array.from({ length: batch.batch }, (_, r) => {
    const row = ids.subarray(r * batch.length, (r + 1) * batch.length);
    return PROTEIN.decode(row.filter((id) => id !== PROTEIN.pad));
  });
}

describe('single', () => {
  test('an epoch has each sequence once, cropped where it is too long', () => {
    const { records, source } = proteins(200, 400);
    const batches = firstEpoch(source, { length: 256, tokensPerBatch: 2048 });
    const seen = batches.flatMap((batch) => [...batch.sequences]);
    expect(seen.toSorted((a, b) => a - b)).toEqual(records.map((_, i) => i));
    for (const batch of batches) {
      rows(batch).forEach((row, r) => {
        const whole = `<cls>${records[batch.sequences[r]].sequence}<eos>`;
        const tokens = PROTEIN.encode(records[batch.sequences[r]].sequence).length;
        if (tokens <= 256) {
          expect(row).toBe(whole);
        } else {
          expect(whole).toContain(row);
        }
      });
    }
  });

  test('batches keep to the tokens and to few shapes, with little padding', () => {
    const { source } = proteins(3000, 500);
    const batches = firstEpoch(source, { length: 256, tokensPerBatch: 4096 });
    const shapes = new Set(batches.map(({ batch, length }) => `${batch}x${length}`));
    expect(batches.every(({ batch, length }) => batch * length <= 4096)).toBe(true);
    expect(batches.every(({ length }) => bucketLengths(256).includes(length))).toBe(true);
    // One for each length, and one for what is left at the end.
    expect(shapes.size).toBeLessThanOrEqual(bucketLengths(256).length + 1);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    const places = batches.reduce((sum, batch) => sum + batch.batch * batch.length, 0);
    expect(tokens / places).toBeGreaterThan(0.9);
    for (const { ids, tokens } of batches) {
      expect(ids.filter((id) => id !== PROTEIN.pad).length).toBe(tokens);
    }
  });

  test('the next epoch has another order and other masks', () => {
    const { source } = proteins(50, 100);
    const options = { length: 128, tokensPerBatch: 1024 };
    const epoch = firstEpoch(source, options);
    const two = take(source, options, 2 * epoch.length);
    const order = (batches: TrainingBatch[]) => batches.flatMap((batch) => [...batch.sequences]).join();
    expect(order(two.slice(epoch.length))).not.toBe(order(epoch));
  });

  test('masks of a sequence do not depend on the batch size', () => {
    const { source } = proteins(40, 100);
    const masked = (tokensPerBatch: number) =>
      new Map(
        firstEpoch(source, { length: 128, tokensPerBatch }).flatMap((batch) =>
          microBatches(batch, 1).map((row) => [row.sequences[0], [...row.positions].join()] as const),
        ),
      );
    expect(masked(512)).toEqual(masked(4096));
  });

  test('a batch is a multiple of micro-batches where they are asked for', () => {
    const { source } = proteins(500, 300);
    const options = { length: 256, tokensPerBatch: 8192, tokensPerMicroBatch: 2048 };
    const batches = firstEpoch(source, options);
    const uneven = batches.filter((batch) => new Set(microBatches(batch, 2048).map((part) => part.batch)).size > 1);
    expect(uneven.length).toBeLessThanOrEqual(1);
  });
});

describe('packed', () => {
  test('rows are full, begin with <cls> and hold the sequences joined with <eos>', () => {
    const { records, source } = proteins(60, 90);
    const batches = take(source, { mode: 'packed', length: 64, tokensPerBatch: 256 }, 8);
    let text = '';
    for (const batch of batches) {
      expect([batch.batch, batch.length, batch.tokens]).toEqual([4, 64, 256]);
      for (const row of rows(batch)) {
        expect(row.startsWith('<cls>')).toBe(true);
        text += row.slice('<cls>'.length);
      }
    }
    const known = new Set(records.map(({ sequence }) => sequence));
    const joined = text.split('<eos>').slice(0, -1);
    expect(joined.length).toBeGreaterThan(10);
    expect(joined.every((sequence) => known.has(sequence))).toBe(true);
    expect(new Set(joined).size).toBe(joined.length);
  });

  test('a row may be longer than all sequences together', () => {
    const { source } = proteins(2, 10);
    const [batch] = take(source, { mode: 'packed', length: 100, tokensPerBatch: 100 }, 1);
    expect(batch!.tokens).toBe(100);
    expect(batch!.cursor.epoch).toBeGreaterThan(3);
  });
});

test('causal: each position predicts the next token', () => {
  const { source, records } = proteins(20, 60);
  for (const batch of firstEpoch(source, { length: 64, tokensPerBatch: 512, objective: 'causal' })) {
    expect([...batch.positions].map((position) => batch.ids[position + 1])).toEqual([...batch.labels]);
    const expected = [...batch.sequences].reduce((sum, s) => sum + records[s].sequence.length + 1, 0);
    expect(batch.positions.length).toBe(expected);
  }
});

test('a stream resumes exactly from the cursor of any batch', () => {
  fc.assert(
    fc.property(
      fc.record({
        count: fc.integer({ min: 1, max: 60 }),
        mode: fc.constantFrom('single' as const, 'packed' as const),
        objective: fc.constantFrom('masked' as const, 'causal' as const),
        length: fc.integer({ min: 8, max: 200 }),
        tokensPerBatch: fc.integer({ min: 1, max: 1000 }),
        poolSize: fc.integer({ min: 1, max: 80 }),
        seed: fc.nat(),
        stop: fc.integer({ min: 0, max: 14 }),
      }),
      ({ count, stop, ...options }) => {
        const { source } = proteins(count, 150);
        const whole = take(source, options, 16);
        const cursor = JSON.parse(JSON.stringify(whole[stop].cursor));
        expect(take(source, options, 15 - stop, cursor)).toEqual(whole.slice(stop + 1));
      },
    ),
    { numRuns: 60 },
  );
});

test('microBatches cut rows without changing them', () => {
  const { source } = proteins(100, 120);
  for (const batch of firstEpoch(source, { length: 128, tokensPerBatch: 2048 })) {
    const parts = microBatches(batch, 600);
    expect(parts.flatMap((part) => rows(part))).toEqual(rows(batch));
    expect(parts.flatMap((part) => [...part.labels])).toEqual([...batch.labels]);
    expect(parts.reduce((sum, part) => sum + part.tokens, 0)).toBe(batch.tokens);
    expect(parts.every((part) => part.batch * part.length <= 600 || part.batch === 1)).toBe(true);
  }
});

describe('evaluation', () => {
  /** What is predicted of each sequence: position in it -> label. Rows of a sequence come with its windows' starts. */
  const selected = (records: { sequence: string }[], seed: number) =>
    records.flatMap(({ sequence }, s) => {
      const { positions, labels } = maskForEvaluation(PROTEIN.encode(sequence), seed);
      return positions.map((_, i) => `${s}:${labels[i]}`);
    });

  test.each([32, 50, 1000])('with %i positions every selected position is predicted once', (length) => {
    const { records, source } = proteins(40, 300);
    const batches = [...evaluationBatches(source, { length, tokensPerBatch: 1024, seed: 5 })];
    const predicted = batches.flatMap((batch) =>
      [...batch.positions].map((position, i) => {
        expect(batch.ids[position]).toBe(PROTEIN.mask);
        return `${batch.sequences[Math.floor(position / batch.length)]}:${batch.labels[i]}`;
      }),
    );
    expect(predicted.toSorted()).toEqual(selected(records, 5).toSorted());
    expect(batches.every((batch) => batch.length <= length)).toBe(true);
  });

  test('does not depend on the size of the batches', () => {
    const { source } = proteins(60, 200);
    const all = (tokensPerBatch: number) =>
      [...evaluationBatches(source, { length: 128, tokensPerBatch })]
        .flatMap((batch) => microBatches(batch, 1))
        .map((row) => `${row.sequences[0]} ${rows(row)[0]} ${row.labels.join()}`)
        .toSorted();
    expect(all(4096)).toEqual(all(128));
  });

  test('windows give each position as much context as there is', () => {
    const long = sequencesInMemory([{ id: 'long', sequence: 'MKTVRQG'.repeat(40) }]);
    const total = 282;
    const batches = [...evaluationBatches(long, { length: 64, tokensPerBatch: 640, masking: { rate: 1 } })];
    let predicted = 0;
    for (const batch of batches.flatMap((batch) => microBatches(batch, 1))) {
      predicted += batch.positions.length;
      const text = rows(batch)[0];
      const inside = !text.startsWith('<cls>') && !text.endsWith('<eos>');
      if (inside) {
        expect(batch.positions.every((position) => position >= 16 && position <= 48)).toBe(true);
      }
    }
    expect(predicted).toBe(total - 2);
  });

  test('causal: every residue is predicted once, <eos> never', () => {
    const { records, source } = proteins(20, 200);
    const batches = [...evaluationBatches(source, { length: 48, tokensPerBatch: 512, objective: 'causal' })];
    const count = batches.reduce((sum, batch) => sum + batch.positions.length, 0);
    expect(count).toBe(records.reduce((sum, { sequence }) => sum + sequence.length, 0));
    expect(batches.every((batch) => !batch.labels.includes(PROTEIN.eos))).toBe(true);
    const labels = batches.flatMap((batch) => [...batch.labels].map((id) => PROTEIN.tokens[id]));
    expect(labels.toSorted()).toEqual(records.flatMap(({ sequence }) => [...sequence]).toSorted());
  });

  test('a limit takes so many sequences, the same each time', () => {
    const { source } = proteins(50, 100);
    const chosen = (tokensPerBatch: number) =>
      [...evaluationBatches(source, { length: 128, tokensPerBatch, sequences: 10 })]
        .flatMap((batch) => [...batch.sequences])
        .toSorted();
    expect(chosen(128).length).toBe(10);
    expect(chosen(128)).toEqual(chosen(4096));
  });
});

test('no sequences are no batches', () => {
  expect(() => trainingBatches(sequencesInMemory([]), { length: 8, tokensPerBatch: 8 })).toThrow(RangeError);
  expect([...evaluationBatches(sequencesInMemory([]), { length: 8, tokensPerBatch: 8 })]).toEqual([]);
});
