import { type Alphabet, BASES, PROTEIN, RESIDUES } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { SequenceRecord } from '../data/letters.js';
import { readSequences } from '../data/reading.js';
import { Warnings } from '../data/warnings.js';
import type { LanguageModel } from '../model/model.js';
import { type BlendOptions, scoreZeroShot } from './blend.js';
import { type Evidence, placeEvidence, unscorableBy } from './evidence.js';
import { predictAssayHead } from './heads/assayHead.js';
import { type Classification, classify, type Prediction } from './heads/classifier.js';
import { VariantFeatures } from './heads/features.js';
import type { LoadedHead } from './heads/headFiles.js';
import { modelTask, predictByModel } from './heads/modelHead.js';
import { type InferenceOptions, type Reading, readLogProbabilities } from './inference.js';
import type { Mutations } from './mutations.js';
import { defaultScheme, type ScoreOptions, scoreSequence, unscorable } from './schemes.js';
import { singleSubstitutions, type Variant } from './variants.js';

/**
 * What a file of sequences is scored by: models, an alignment, both, or a head that was trained on an assay or on
 * classes.
 */
export interface Scorer {
  /** Of one alphabet; those of the head, where there is one. None where an alignment is enough. */
  models: readonly LanguageModel[];
  head?: LoadedHead;
  /** What is known of the proteins beside; not with a head. */
  evidence?: Evidence;
}

/** What of a file's sequences is scored, and how; a head keeps the zero-shot settings that it was trained with. */
export interface ScanOptions extends Omit<ScoreOptions, 'onProgress' | 'factors'>, BlendOptions {
  /** The variants to score; every single substitution of each sequence where absent. */
  mutations?: Mutations;
  /** One row a position and one column a letter, instead of one row a substitution. */
  matrix?: boolean;
  /**
   * The models' own log-probabilities (nats) of every letter at each position, instead of scores: with the position masked,
   * under `wt-marginals` from one pass on the sequence, and of a causal model given the letters before it.
   */
  logits?: boolean;
  /** What stands at each `<mask>` of the sequences, all of one sequence hidden together: the letters' probabilities. */
  fill?: boolean;
  /** The number of each sequence's first residue in the variants' names; default 1. */
  offset?: number;
  /**
   * Sequences at the file's beginning that an unfinished table has already: how many, the last one's identifier, and the
   * table's path for errors.
   */
  done?: { readonly groups: number; readonly last?: string; readonly path?: string };
  /** Whether `checkScan` has read the file: then what it warned of is not warned of again. */
  checked?: boolean;
  warnings?: Warnings;
  /** Called as a sequence's readings are done: their share, and its identifier with how many. */
  onProgress?: (fraction: number, detail: string) => void;
}

/** A cell of a table; null where there is nothing. */
export type Cell = string | number | null;

/** A sequence's rows, in the columns of `scanColumns`. */
export interface ScannedSequence {
  id: string;
  rows: Cell[][];
}

/** What each position is substituted by: the columns of a matrix, as ProteinGym orders the amino acids, or the bases. */
const lettersOf = ({ name }: Alphabet) => (name === 'nucleotide' ? [...BASES] : [...RESIDUES].sort());

/** What a scorer's sequences are written in; an alignment is of proteins. */
const alphabetOf = ({ models }: Scorer): Alphabet => models[0]?.alphabet ?? PROTEIN;

/** Every letter that an alphabet has a token for, in its order. */
const allLetters = ({ tokens }: Alphabet) => tokens.filter((token) => token.length === 1);

/** What a scorer says of sequences by a head; undefined where it scores variants. */
export function taskOf({ models, head }: Scorer): Classification | 'value' | undefined {
  return head ? head.description.task : modelTask(models);
}

/** Names of the columns that `scanFasta` fills. */
export function scanColumns(
  scorer: Scorer,
  { matrix, logits, fill }: Pick<ScanOptions, 'matrix' | 'logits' | 'fill'> = {},
): string[] {
  if (logits) {
    return ['sequence_id', 'position', 'wild_type', ...allLetters(alphabetOf(scorer))];
  }
  if (fill) {
    return ['sequence_id', 'position', 'residue', 'probability', ...lettersOf(alphabetOf(scorer))];
  }
  if (matrix) {
    return ['sequence_id', 'position', 'wild_type', ...lettersOf(alphabetOf(scorer))];
  }
  const task = taskOf(scorer);
  return task === 'residues'
    ? ['sequence_id', 'position', 'residue', 'label', 'score']
    : ['sequence_id', task === 'sequences' ? 'label' : 'variant', 'score'];
}

/**
 * Reads a file to its end before the work begins, so that a fault in it, or a variant that does not fit its sequence,
 * shows now and not after hours. Needs no model.
 *
 * @param fasta FASTA, plain or gzip; `-` for standard input, which is left unread
 * @returns how many sequences there are to score; undefined for standard input
 * @throws InputError naming file and record
 */
export async function checkScan(
  fasta: string,
  alphabet: Alphabet,
  {
    mutations,
    offset,
    evidence,
    warnings = new Warnings(),
    fill,
  }: Pick<ScanOptions, 'mutations' | 'offset' | 'warnings' | 'fill'> & Pick<Scorer, 'evidence'> = {},
): Promise<number | undefined> {
  if (fasta === '-') {
    return undefined;
  }
  let sequences = 0;
  for await (const record of wantedSequences(fasta, alphabet, mutations, warnings, fill)) {
    sequences++;
    mutations?.of(record.id, record.sequence);
    placeEvidence(evidence ?? {}, record.sequence, whereOf(record), { offset, warnings });
  }
  return sequences;
}

/**
 * Scores a file's sequences one after the other: every single substitution (by the 20 residues, or the 4 bases), the
 * variants of `mutations`, each whole sequence under a scheme of whole sequences, or the classes of a head. Scores have
 * eight digits; a variant that the models have no token for gets NaN, with a warning.
 *
 * @param fasta FASTA, plain or gzip; `-` for standard input
 * @throws InputError naming file and record, where a head is asked for what it does not tell, and where `done` is of
 *   another file
 */
export async function* scanFasta(
  fasta: string,
  scorer: Scorer,
  options: ScanOptions = {},
): AsyncGenerator<ScannedSequence, void, undefined> {
  const { mutations, done, warnings = new Warnings() } = options;
  const task = taskOf(scorer);
  if (task && (mutations || options.matrix)) {
    const what = task === 'value' ? 'predicts a value of each sequence' : `classifies ${task}`;
    throw new InputError(`the head ${what}; leave out mutations and the matrix`);
  }
  const reading = options.checked ? new Warnings() : warnings;
  let index = 0;
  for await (const record of wantedSequences(fasta, alphabetOf(scorer), mutations, reading, options.fill)) {
    const { id } = record;
    if (done && index++ < done.groups) {
      if (index === done.groups && done.last !== id) {
        throw new InputError(`${done.path} continues another input at ${id}; delete it to start anew`);
      }
      continue;
    }
    yield { id, rows: await rowsOf(record, scorer, options, warnings) };
  }
}

/** The sequences to score; those that `mutations` names must all be there, and only one where it names none. */
async function* wantedSequences(
  fasta: string,
  alphabet: Alphabet,
  mutations: Mutations | undefined,
  warnings: Warnings,
  masks = false,
): AsyncGenerator<SequenceRecord, void, undefined> {
  const wanted = mutations?.sequenceIds;
  const missing = new Set(wanted);
  const duplicates = mutations ? 'error' : 'ignore';
  const reading = { alphabet: alphabet.name, cut: Number.POSITIVE_INFINITY, warnings, duplicates, masks } as const;
  let sequences = 0;
  for await (const record of readSequences(fasta, reading)) {
    if (wanted && !missing.delete(record.id)) {
      continue;
    }
    sequences++;
    if (mutations && !wanted && sequences > 1) {
      throw new InputError(
        `${fasta} has several sequences and ${mutations.path} does not say which a variant belongs to; ` +
          'add a column sequence_id',
      );
    }
    yield record;
  }
  const [absent] = missing;
  if (absent !== undefined) {
    throw new InputError(
      `${mutations!.path}: sequence_id ${absent} is not in ${fasta}; give the FASTA file that has it`,
    );
  }
  if (sequences === 0) {
    throw new InputError(`${fasta} has no sequences; give a FASTA file`);
  }
}

function whereOf({ id, file, line }: SequenceRecord): string {
  return `${file}:${line}, record ${id}`;
}

async function rowsOf(
  record: SequenceRecord,
  scorer: Scorer,
  options: ScanOptions,
  warnings: Warnings,
): Promise<Cell[][]> {
  const where = whereOf(record);
  const { id, sequence, masked = [] } = record;
  const { models, head } = scorer;
  const alphabet = alphabetOf(scorer);
  const { mutations, matrix, offset = 1 } = options;
  const task = taskOf(scorer);
  if (task) {
    return predictedRows(scorer, task, id, sequence, offset);
  }
  const work = {
    tokensPerBatch: options.tokensPerBatch,
    onProgress: (read: number, total: number) => options.onProgress?.(read / total, `${id} ${read}/${total}`),
  };
  const settings = { ...options, ...work };
  if (options.logits) {
    return logitRows(id, sequence, models, settings);
  }
  if (options.fill) {
    if (masked.length === 0) {
      warnings.add('no <mask> in a sequence, nothing to fill in', where);
    }
    return fillRows(id, sequence, masked, models, settings);
  }
  const scheme = options.scheme ?? (models[0] && defaultScheme(models[0]));
  const { alignment, structure } = scorer.evidence ?? {};
  const evident = alignment !== undefined || structure !== undefined;
  if (!head && !mutations && !evident && (scheme === 'pseudo-perplexity' || scheme === 'log-likelihood')) {
    return [[id, 'WT', rounded(await scoreSequence(models, sequence, settings))]];
  }

  const placing = { offset, warnings: options.checked ? undefined : warnings };
  const evidence = placeEvidence(scorer.evidence ?? {}, sequence, where, placing);
  const letters = lettersOf(alphabet);
  const variants = mutations
    ? mutationsOf(mutations, id, sequence, where, warnings)
    : substitutionsOf(sequence, alphabet, offset, where, warnings);
  // Of the unchanged sequence a zero-shot score is 0, and a head predicts a value as of any other.
  const unchanged: Variant[] = head && matrix ? [{ name: 'WT', edits: [] }] : [];
  const scores = head
    ? await predict(head, sequence, where, [...variants, ...unchanged], work)
    : await scoreZeroShot(models, evidence, sequence, variants, settings);
  variants.forEach((variant, i) => {
    if (!Number.isNaN(scores[i])) {
      return;
    }
    const [model] = models;
    const reason = (model && unscorable(model, sequence, variant)) ?? unscorableBy(evidence, sequence, variant);
    warnings.add(`${reason ?? 'no score'}, score left empty`, `${where}, variant ${variant.name}`);
  });
  if (!matrix) {
    return variants.map((variant, i) => [id, variant.name, rounded(scores[i])]);
  }

  const ofWildType = unchanged.length > 0 ? rounded(scores.at(-1)!) : 0;
  const rows = [...sequence].map((residue, i): Cell[] => [
    id,
    i + offset,
    residue,
    ...letters.map((other) => (other === residue ? ofWildType : null)),
  ]);
  variants.forEach(({ edits }, i) => {
    const { start, residues } = edits[0];
    rows[start][3 + letters.indexOf(residues)] = rounded(scores[i]);
  });
  return rows;
}

/** `ScanOptions` with a count of readings, as those that read a model directly take them. */
type ReadingWork = Omit<ScanOptions, 'onProgress'> & { onProgress?: (read: number, total: number) => void };

/** Log-probabilities of all letters at each position. */
async function logitRows(
  id: string,
  sequence: string,
  models: readonly LanguageModel[],
  options: ReadingWork,
): Promise<Cell[][]> {
  const [{ alphabet, config }] = models;
  const tokens = alphabet.encode(sequence);
  const positions = [...sequence].map((_, i) => i + 1);
  const { causal } = config.attention;
  const scheme = options.scheme ?? defaultScheme(models[0]);
  if (causal ? scheme !== 'log-likelihood' : scheme !== 'masked-marginals' && scheme !== 'wt-marginals') {
    throw new InputError(
      `--scheme ${scheme} has no log-probabilities of positions; use ${causal ? 'log-likelihood' : 'masked-marginals or wt-marginals'}`,
    );
  }
  const readings: Reading[] =
    scheme === 'masked-marginals'
      ? positions.map((position) => ({ tokens, masked: [position], positions: [position] }))
      : [{ tokens, masked: [], positions: causal ? positions.map((position) => position - 1) : positions }];
  const rows = await meanLogProbabilities(models, readings, options, scheme === 'masked-marginals');
  const ids = allLetters(alphabet).map((letter) => alphabet.encodeResidues(letter)[0]);
  const { offset = 1 } = options;
  return rows.map((row, i) => [id, i + offset, sequence[i], ...ids.map((token) => rounded(row[token]))]);
}

/** The most probable letter at each masked position, and the probabilities of all that it may be. */
async function fillRows(
  id: string,
  sequence: string,
  masked: readonly number[],
  models: readonly LanguageModel[],
  options: ReadingWork,
): Promise<Cell[][]> {
  const [{ alphabet }] = models;
  if (masked.length === 0) {
    return [];
  }
  const positions = masked.map((place) => place + 1);
  const readings = [{ tokens: alphabet.encode(sequence), masked: positions, positions }];
  const rows = await meanLogProbabilities(models, readings, options, true);
  const letters = lettersOf(alphabet);
  const ids = letters.map((letter) => alphabet.encodeResidues(letter)[0]);
  const { offset = 1 } = options;
  return rows.map((row, i) => {
    const probabilities = ids.map((token) => rounded(Math.exp(row[token])));
    const most = Math.max(...probabilities);
    return [id, masked[i] + offset, letters[probabilities.indexOf(most)], most, ...probabilities];
  });
}

/** Rows of log-probabilities, one after the other over all readings; those of several models average. */
async function meanLogProbabilities(
  models: readonly LanguageModel[],
  readings: readonly Reading[],
  options: InferenceOptions & { onProgress?: (read: number, total: number) => void },
  masks: boolean,
): Promise<Float64Array[]> {
  const means: Float64Array[] = [];
  let done = 0;
  for (const model of models) {
    let at = 0;
    for await (const rows of readLogProbabilities(model, readings, options, masks ? 'optimal' : 'overlapping')) {
      for (const row of rows) {
        const mean = means[at] ?? new Float64Array(row.length);
        means[at++] = mean;
        for (let token = 0; token < row.length; token++) {
          mean[token] += row[token] / models.length;
        }
      }
      options.onProgress?.(++done, models.length * readings.length);
    }
  }
  return means;
}

function mutationsOf(mutations: Mutations, id: string, sequence: string, where: string, warnings: Warnings): Variant[] {
  const { variants, mismatches, unscorable } = mutations.of(id, sequence);
  for (let i = 0; i < mismatches; i++) {
    warnings.add('row that does not match the wild type, skipped', where);
  }
  for (const [reason, count] of Object.entries(unscorable)) {
    warnings.addAll({ [`row without a score (${reason}), skipped`]: { count, first: where } });
  }
  return variants;
}

/** Every single substitution; an unknown wild-type residue has nothing to be compared with. */
function substitutionsOf(
  sequence: string,
  alphabet: Alphabet,
  offset: number,
  where: string,
  warnings: Warnings,
): Variant[] {
  const nucleotide = alphabet.name === 'nucleotide';
  const known = (index: number) => (nucleotide ? BASES.includes(sequence[index]) : !'XBZ-.'.includes(sequence[index]));
  if ([...sequence].some((_, i) => !known(i))) {
    const unknown = nucleotide
      ? 'unknown bases (N and other ambiguous ones, gaps)'
      : 'unknown residues (X, B, Z, gaps)';
    warnings.add(`${unknown} in a sequence, their positions not scored`, where);
  }
  const all = singleSubstitutions(sequence, lettersOf(alphabet).join(''), offset);
  return [...all].filter((variant) => known(variant.edits[0].start));
}

/** What a head says of a sequence: one row, or one a residue, with the probability or the value as the score. */
async function predictedRows(
  { models, head }: Scorer,
  task: Classification | 'value',
  id: string,
  sequence: string,
  offset: number,
): Promise<Cell[][]> {
  const predicted = head ? { predictions: await classesOf(head, sequence) } : await predictByModel(models[0], sequence);
  if ('value' in predicted) {
    return [[id, 'WT', rounded(predicted.value)]];
  }
  return predicted.predictions.map(({ label, probability }, i) =>
    task === 'residues'
      ? [id, i + offset, sequence[i], label, rounded(probability)]
      : [id, label, rounded(probability)],
  );
}

async function classesOf({ head, description }: LoadedHead, sequence: string): Promise<Prediction[]> {
  if (head.method !== 'fine-tune') {
    throw new Error('a classification head is a fine-tuned one');
  }
  const [predictions] = await classify(head, description.task!, description.classes!, [sequence]);
  return predictions;
}

/** A head's predictions, NaN where the models have no token for a variant. */
async function predict(
  { head, description, models, scoring }: LoadedHead,
  sequence: string,
  where: string,
  variants: Variant[],
  work: Pick<ScoreOptions, 'tokensPerBatch' | 'onProgress'>,
): Promise<Float64Array> {
  if (sequence !== description.wildType) {
    throw new InputError(`${where} is not the wild type that the head was trained on; give that sequence`);
  }
  const rows = [...variants.keys()].filter((i) => !unscorable(models[0], sequence, variants[i]));
  const known = rows.map((row) => variants[row]);
  const evidence = head.method === 'gp' ? head.evidence : undefined;
  const features = new VariantFeatures(models, sequence, known, { ...scoring, ...work, evidence });
  const predicted = await predictAssayHead(head, features);
  const scores = new Float64Array(variants.length).fill(Number.NaN);
  rows.forEach((row, i) => {
    scores[row] = predicted[i];
  });
  return scores;
}

/** Scores come from float32: more digits would say nothing. */
function rounded(score: number): number {
  return Number(score.toPrecision(8));
}
