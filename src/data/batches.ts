import { type Alphabet, PROTEIN, type Tokens } from './alphabet.js';
import { type MaskingOptions, maskForEvaluation, maskForTraining } from './masking.js';
import { Permutation, Random } from './random.js';
import type { SequenceSource } from './sequences.js';

/** `masked`: predict hidden tokens; `causal`: predict the next token at each one. */
export type Objective = 'masked' | 'causal';

/** Tokens for one step, and what the model shall predict. */
export interface TokenBatch {
  /** [batch * length], rows end to end, `<pad>` past a row's end */
  ids: Int32Array;
  /** Rows, B. */
  batch: number;
  /** Tokens in a row, L. */
  length: number;
  /** [N], flat indices into `ids` of the positions to predict, ascending */
  positions: Int32Array;
  /** [N], the token to predict at each */
  labels: Int32Array;
  /** Tokens that are not `<pad>`. */
  tokens: number;
  /** [batch], index of the sequence in each row; of the first one where a row has several */
  sequences: Int32Array;
}

/** Where a stream of training batches stands, ready for JSON. */
export interface BatchCursor {
  /** Times that all sequences were gone through. */
  epoch: number;
  /** Position in the epoch's order of the sequences: of the pool, or of the sequence that the next row begins in. */
  index: number;
  /** Batches of the pool that are done, or tokens of the sequence. */
  offset: number;
}

export interface TrainingBatch extends TokenBatch {
  /** Where the batch after this one begins. */
  cursor: BatchCursor;
}

export interface BatchOptions {
  /** Tokens of a row at most, `<cls>` and `<eos>` included. */
  length: number;
  /** Tokens of a batch at most, padding included; a batch has one row at least. */
  tokensPerBatch: number;
  objective?: Objective;
  masking?: Omit<MaskingOptions, 'alphabet'>;
  alphabet?: Alphabet;
  seed?: number;
}

export interface TrainingBatchOptions extends BatchOptions {
  /**
   * `single` (default): each row is a sequence, cropped at random where it is longer. `packed`: rows of exactly
   * `length`, `<cls>` and then sequences joined with `<eos>`, cut wherever the row ends.
   */
  mode?: 'single' | 'packed';
  /** Tokens of a part that `microBatches` shall make: batches become multiples of parts, all of one shape. */
  tokensPerMicroBatch?: number;
  /** Sequences sorted by length at once, in `single`; default 2^20 (16 bytes each). */
  poolSize?: number;
}

/**
 * Training batches without end, epoch after epoch, each in another order. They follow from the sequences, the options
 * and the cursor alone: from the `cursor` of a batch on, the stream continues as if it had never stopped.
 *
 *     for (const batch of trainingBatches(store.split('train'), { length: 1024, tokensPerBatch: 16384, seed: 1 })) …
 *
 * In `single` a batch holds sequences of about the same length (`bucketLengths`), so that little is padding and few
 * shapes occur. A crop keeps `<cls>` or `<eos>` only where it begins or ends with the protein, as ESM-2 was trained
 * (Lin et al. 2023, supplementary materials). Which tokens are masked depends on seed, epoch and sequence, not on the batch.
 */
export function trainingBatches(
  source: SequenceSource,
  options: TrainingBatchOptions,
  cursor: BatchCursor = { epoch: 0, index: 0, offset: 0 },
): Generator<TrainingBatch, void, undefined> {
  if (source.size === 0) {
    throw new RangeError('no sequences to make batches from');
  }
  return options.mode === 'packed' ? packedBatches(source, options, cursor) : singleBatches(source, options, cursor);
}

/** The sequences of an epoch in its order: all, or of each cluster one that the seed and the epoch draw. */
function epochOrder(source: SequenceSource, seed: number, epoch: number): { size: number; at(i: number): number } {
  const { groups } = source;
  if (!groups) {
    return new Permutation(source.size, seed, epoch);
  }
  const order = new Permutation(groups.length, seed, epoch);
  return {
    size: groups.length,
    at(i) {
      const group = order.at(i);
      const members = groups[group];
      return members[new Random(seed, epoch, group, 2).int(members.length)];
    },
  };
}

function* singleBatches(
  source: SequenceSource,
  options: TrainingBatchOptions,
  cursor: BatchCursor,
): Generator<TrainingBatch, void, undefined> {
  const { seed = 0, poolSize = 2 ** 20, length } = options;
  const objective = trainingObjective(options);
  let { epoch, index, offset } = cursor;
  for (; ; epoch++, index = 0) {
    const order = epochOrder(source, seed, epoch);
    for (; index < order.size; index += poolSize, offset = 0) {
      const pool = Array.from({ length: Math.min(poolSize, order.size - index) }, (_, i) => order.at(index + i));
      const batches = bucketed(
        pool,
        (i) => Math.min(source.length(i) + 2, length),
        length,
        (bucket) => rowsPerBatch(bucket, options),
      );
      new Random(seed, epoch, index).shuffle(batches);
      for (; offset < batches.length; offset++) {
        const { length: rowLength, items } = batches[offset];
        const rows = items.map((sequence) => {
          const random = new Random(seed, epoch, sequence, 1);
          return { ...objective(crop(source.tokens(sequence), length, random), random), sequence };
        });
        const next = offset + 1 < batches.length;
        yield {
          ...stack(rows, rowLength, options.alphabet),
          cursor: next
            ? { epoch, index, offset: offset + 1 }
            : index + poolSize < order.size
              ? { epoch, index: index + poolSize, offset: 0 }
              : { epoch: epoch + 1, index: 0, offset: 0 },
        };
      }
    }
  }
}

function* packedBatches(
  source: SequenceSource,
  options: TrainingBatchOptions,
  cursor: BatchCursor,
): Generator<TrainingBatch, void, undefined> {
  const { seed = 0, length, alphabet = PROTEIN } = options;
  const objective = trainingObjective(options);
  const rowCount = rowsPerBatch(length, options);
  let { epoch, index, offset } = cursor;
  let order = epochOrder(source, seed, epoch);
  let sequence = order.at(index);
  // Joined with <eos>: each sequence comes without its <cls>.
  let tokens = source.tokens(sequence).subarray(1);
  while (true) {
    const rows = Array.from({ length: rowCount }, () => {
      const random = new Random(seed, epoch, index, offset);
      const first = sequence;
      const row = alphabet.array(length);
      row[0] = alphabet.cls;
      for (let filled = 1; filled < length; ) {
        const piece = tokens.subarray(offset, offset + length - filled);
        row.set(piece, filled);
        filled += piece.length;
        offset += piece.length;
        if (offset < tokens.length) {
          continue;
        }
        offset = 0;
        if (++index === order.size) {
          index = 0;
          order = epochOrder(source, seed, ++epoch);
        }
        sequence = order.at(index);
        tokens = source.tokens(sequence).subarray(1);
      }
      return { ...objective(row, random), sequence: first };
    });
    yield { ...stack(rows, length, alphabet), cursor: { epoch, index, offset } };
  }
}

export interface EvaluationBatchOptions extends BatchOptions {
  /** Takes only so many sequences, chosen by the seed alone. */
  sequences?: number;
  /** Takes no more sequences once they have so many tokens: at least one. */
  tokens?: number;
}

/**
 * Every sequence once, whole, longest first. A sequence longer than `length` is cut into windows that overlap by half;
 * each position is predicted once, in the window where it has most context (the one whose middle is nearest, or with
 * `causal` the one that reaches furthest back). Masked positions are those of `maskForEvaluation` on the whole sequence.
 * Only the alphabet's targets are predicted, so that a perplexity is one per residue.
 */
export function* evaluationBatches(
  source: SequenceSource,
  options: EvaluationBatchOptions,
): Generator<TokenBatch, void, undefined> {
  const { length, seed = 0, objective = 'masked', alphabet = PROTEIN, masking } = options;
  const { sequences = source.size, tokens: mostTokens = Number.POSITIVE_INFINITY } = options;
  const order = new Permutation(source.size, seed);
  const chosen: number[] = [];
  for (let tokens = 0; chosen.length < Math.min(sequences, source.size) && tokens < mostTokens; ) {
    const sequence = order.at(chosen.length);
    chosen.push(sequence);
    tokens += source.length(sequence) + 2;
  }
  const windows = chosen.flatMap((sequence) => windowsOf(sequence, source.length(sequence) + 2, length));
  windows.sort((a, b) => a.end - a.start - (b.end - b.start) || a.sequence - b.sequence || a.start - b.start);
  const batches = bucketed(
    windows,
    ({ start, end }) => end - start,
    length,
    (bucket) => rowsPerBatch(bucket, options),
  );
  // The windows of a sequence follow each other: it is read once for all of them.
  let last: { sequence: number; targets: Targets } | undefined;
  const targetsOf = (sequence: number): Targets => {
    if (last?.sequence !== sequence) {
      const tokens = source.tokens(sequence);
      const targets =
        objective === 'causal'
          ? nextTokens(tokens, alphabet, true)
          : maskForEvaluation(tokens, seed, { ...masking, alphabet });
      last = { sequence, targets };
    }
    return last!.targets;
  };
  for (const { length: rowLength, items } of batches.reverse()) {
    const rows = items.map(({ sequence, start, end }) => {
      const targets = targetsOf(sequence);
      const own = ownPositions(start, targets.ids.length, length, objective);
      const row = {
        ids: targets.ids.subarray(start, end),
        positions: [] as number[],
        labels: [] as number[],
        sequence,
      };
      targets.positions.forEach((position, i) => {
        if (position < own.from || position >= own.to) {
          return;
        }
        row.positions.push(position - start);
        row.labels.push(targets.labels[i]);
      });
      return row;
    });
    yield stack(rows, rowLength, alphabet);
  }
}

/** Parts of a batch, whole rows each, of at most `tokens` tokens (one row at least). */
export function microBatches(batch: TokenBatch, tokens: number, alphabet: Alphabet = PROTEIN): TokenBatch[] {
  const rows = Math.max(1, Math.floor(tokens / batch.length));
  const parts: TokenBatch[] = [];
  let from = 0;
  for (let row = 0; row < batch.batch; row += rows) {
    const size = Math.min(rows, batch.batch - row);
    const start = row * batch.length;
    const end = start + size * batch.length;
    let to = from;
    while (to < batch.positions.length && batch.positions[to] < end) {
      to++;
    }
    const ids = batch.ids.subarray(start, end);
    parts.push({
      ids,
      batch: size,
      length: batch.length,
      positions: batch.positions.slice(from, to).map((position) => position - start),
      labels: batch.labels.slice(from, to),
      tokens: ids.reduce((count, id) => (id === alphabet.pad ? count : count + 1), 0),
      sequences: batch.sequences.subarray(row, row + size),
    });
    from = to;
  }
  return parts;
}

/**
 * The lengths that rows are padded to: four to an octave from 64 on, so that a row is at most a quarter padding and
 * engines see few shapes. For 256: 64, 80, 96, 112, 128, 160, 192, 224, 256.
 */
export function bucketLengths(longest: number): number[] {
  const lengths: number[] = [];
  for (let octave = 64; ; octave *= 2) {
    for (let quarter = 4; quarter < 8; quarter++) {
      const length = (octave / 4) * quarter;
      if (length >= longest) {
        return [...lengths, longest];
      }
      lengths.push(length);
    }
  }
}

/**
 * Sorts items into batches of one padded length each. What does not fill a batch goes on to the next longer length, so
 * that only the last batch of the longest may have fewer rows than its length allows.
 */
function bucketed<T>(
  items: readonly T[],
  lengthOf: (item: T) => number,
  longest: number,
  rows: (length: number) => number,
): { length: number; items: T[] }[] {
  const lengths = bucketLengths(longest);
  const buckets: T[][] = lengths.map(() => []);
  for (const item of items) {
    const length = lengthOf(item);
    buckets[lengths.findIndex((bucket) => length <= bucket)].push(item);
  }
  const longestUsed = buckets.findLastIndex((bucket) => bucket.length > 0);
  const batches: { length: number; items: T[] }[] = [];
  let left: T[] = [];
  lengths.forEach((length, i) => {
    const waiting = [...left, ...buckets[i]];
    const size = rows(length);
    let done = 0;
    while (waiting.length - done >= size || (i === longestUsed && done < waiting.length)) {
      batches.push({ length, items: waiting.slice(done, done + size) });
      done += size;
    }
    left = waiting.slice(done);
  });
  return batches;
}

function rowsPerBatch(length: number, options: TrainingBatchOptions): number {
  const rows = Math.max(1, Math.floor(options.tokensPerBatch / length));
  if (options.tokensPerMicroBatch === undefined) {
    return rows;
  }
  const part = Math.max(1, Math.floor(options.tokensPerMicroBatch / length));
  return rows > part ? rows - (rows % part) : rows;
}

function crop(tokens: Tokens, length: number, random: Random): Tokens {
  if (tokens.length <= length) {
    return tokens;
  }
  const start = random.int(tokens.length - length + 1);
  return tokens.subarray(start, start + length);
}

/** What the model gets of a row, and what it shall predict where. */
interface Targets {
  ids: Tokens;
  positions: number[];
  labels: number[];
}

function trainingObjective(options: BatchOptions): (tokens: Tokens, random: Random) => Targets {
  const { objective = 'masked', alphabet = PROTEIN, masking } = options;
  if (objective === 'causal') {
    return (tokens) => nextTokens(tokens, alphabet, false);
  }
  return (tokens, random) => maskForTraining(tokens, random, { ...masking, alphabet });
}

/** The next token at each position but the last, where it is a target or `<eos>`; with `lettersOnly` a target. */
function nextTokens(tokens: Tokens, alphabet: Alphabet, lettersOnly: boolean): Targets {
  const positions: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i + 1 < tokens.length; i++) {
    const next = tokens[i + 1];
    if (!alphabet.isTarget(next) && (lettersOnly || alphabet.isLetter(next))) {
      continue;
    }
    positions.push(i);
    labels.push(next);
  }
  return { ids: tokens, positions, labels };
}

/** Where windows begin: each half a window after the one before it, the last at the end. */
function windowStarts(total: number, length: number): number[] {
  if (total <= length) {
    return [0];
  }
  const stride = Math.max(1, Math.floor(length / 2));
  const starts: number[] = [];
  for (let start = 0; start < total - length; start += stride) {
    starts.push(start);
  }
  return [...starts, total - length];
}

function windowsOf(sequence: number, total: number, length: number) {
  return windowStarts(total, length).map((start) => ({ sequence, start, end: Math.min(start + length, total) }));
}

/** The positions [from, to) of a sequence that are predicted in the window that begins at `start`. */
function ownPositions(
  start: number,
  total: number,
  length: number,
  objective: Objective,
): { from: number; to: number } {
  const starts = windowStarts(total, length);
  const i = starts.indexOf(start);
  const previous = starts[i - 1];
  const next = starts[i + 1];
  if (objective === 'causal') {
    return { from: previous === undefined ? 0 : previous + length, to: Math.min(start + length, total) };
  }
  // Half way between the middles of two neighbours, the nearer middle changes.
  const border = (a: number, b: number) => Math.ceil((a + b + length) / 2);
  return {
    from: previous === undefined ? 0 : border(previous, start),
    to: next === undefined ? total : border(start, next),
  };
}

function stack(rows: (Targets & { sequence: number })[], length: number, alphabet: Alphabet = PROTEIN): TokenBatch {
  const ids = new Int32Array(rows.length * length).fill(alphabet.pad);
  const predicted = rows.reduce((sum, { positions }) => sum + positions.length, 0);
  const positions = new Int32Array(predicted);
  const labels = new Int32Array(predicted);
  let tokens = 0;
  let filled = 0;
  rows.forEach((row, r) => {
    ids.set(row.ids, r * length);
    tokens += row.ids.length;
    row.positions.forEach((position, i) => {
      positions[filled] = r * length + position;
      labels[filled++] = row.labels[i];
    });
  });
  const sequences = Int32Array.from(rows, ({ sequence }) => sequence);
  return { ids, batch: rows.length, length, positions, labels, tokens, sequences };
}
