import { InputError } from '../../data/errors.js';
import { type ModelConfig, maxLength } from '../../model/config.js';
import type { LanguageModel } from '../../model/model.js';
import { readTable } from '../tables.js';
import { argmax, type Example, type GradientHead, type GradientOptions, trainGradientHead } from './gradientHead.js';

/** What is classified: whole sequences (such as a localisation), or each residue (such as its secondary structure). */
export const CLASSIFICATIONS = ['sequences', 'residues'] as const;
export type Classification = (typeof CLASSIFICATIONS)[number];

/** Labelled sequences. Of residues a label is one letter each; `-` leaves a residue out. */
export interface LabelledSequences {
  task: Classification;
  sequences: string[];
  /** One a sequence: its class, or a letter for each residue. */
  labels: string[];
  /** All classes, sorted. */
  classes: string[];
}

/** A class and the probability that the head gives it. */
export interface Prediction {
  label: string;
  probability: number;
}

const UNLABELLED = '-';

/**
 * Reads labelled sequences from a table with the columns `sequence` and `label`.
 *
 * @param config of the model that is to read them
 * @throws InputError with the row where one is empty, no protein, longer than the model takes, or has not as many
 *   labels as residues
 */
export async function readLabelled(
  path: string,
  task: Classification,
  columns: { sequence?: string; label?: string } = {},
  config?: ModelConfig,
): Promise<LabelledSequences> {
  // <cls> and <eos> are tokens too.
  const most = config ? maxLength(config) - 2 : Number.POSITIVE_INFINITY;
  const table = await readTable(path);
  const names = table.columnNames();
  const column = (name: string) => {
    if (!names.includes(name)) {
      throw new InputError(`${path} has no column ${name}; it has ${names.join(', ')}`);
    }
    return table.array(name) as ArrayLike<unknown>;
  };
  const sequenceCells = column(columns.sequence ?? 'sequence');
  const labelCells = column(columns.label ?? 'label');
  const sequences: string[] = [];
  const labels: string[] = [];
  for (let i = 0; i < table.numRows(); i++) {
    const [sequence, label] = [sequenceCells[i], labelCells[i]].map((cell) => String(cell ?? '').trim());
    if (sequence === '' && label === '') {
      continue;
    }
    const where = `${path} row ${i + 1}`;
    if (sequence === '' || label === '') {
      throw new InputError(`${where} has no ${sequence === '' ? 'sequence' : 'label'}`);
    }
    const bad = /[^A-Za-z]/.exec(sequence!);
    if (bad) {
      throw new InputError(`${where}: "${bad[0]}" at position ${bad.index + 1} is no residue`);
    }
    if (sequence!.length > most) {
      throw new InputError(`${where}: ${sequence!.length} residues, but this model takes ${most}: crop the sequence`);
    }
    if (task === 'residues' && sequence!.length !== label!.length) {
      throw new InputError(
        `${where}: ${label!.length} labels for ${sequence!.length} residues; give one letter for each`,
      );
    }
    sequences.push(sequence!.toUpperCase());
    labels.push(label!);
  }
  const found = new Set(task === 'residues' ? labels.flatMap((label) => [...label]) : labels);
  if (task === 'residues') {
    found.delete(UNLABELLED);
  }
  if (found.size < 2) {
    throw new InputError(`${path}: ${found.size} classes; at least two are needed`);
  }
  return { task, sequences, labels, classes: [...found].sort() };
}

/** Labelled sequences as examples for `trainGradientHead`. */
export function labelledExamples(
  model: LanguageModel,
  { task, sequences, labels, classes }: LabelledSequences,
): Example[] {
  return sequences.map((sequence, row) => {
    const tokens = model.alphabet.encode(sequence);
    const all = Array.from({ length: sequence.length }, (_, i) => i);
    if (task === 'sequences') {
      return { tokens, indices: all.map((i) => i + 1), targets: [classes.indexOf(labels[row])] };
    }
    const known = all.filter((i) => labels[row][i] !== UNLABELLED);
    return {
      tokens,
      indices: known.map((i) => i + 1),
      perToken: true,
      targets: known.map((i) => classes.indexOf(labels[row][i])),
    };
  });
}

/** Trains a classification head; see `trainGradientHead` for what `layers` does to the model. */
export async function trainClassifier(
  model: LanguageModel,
  data: LabelledSequences,
  options: Partial<GradientOptions> = {},
): Promise<GradientHead> {
  const settings = { ...options, loss: 'classification' as const, outputs: data.classes.length };
  return trainGradientHead(model, labelledExamples(model, data), settings);
}

/** What a head says of sequences: for each of them one prediction, or one a residue. */
export async function classify(
  head: GradientHead,
  task: Classification,
  classes: readonly string[],
  sequences: readonly string[],
): Promise<Prediction[][]> {
  const examples = sequences.map((sequence) => ({
    tokens: head.model.alphabet.encode(sequence),
    indices: Array.from({ length: sequence.length }, (_, i) => i + 1),
    perToken: task === 'residues',
  }));
  const predictions = (await head.predict(examples)).map((logits): Prediction => {
    const best = argmax(logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - logits[best]), 0);
    return { label: classes[best], probability: 1 / total };
  });
  let at = 0;
  return sequences.map((sequence) => {
    const count = task === 'residues' ? sequence.length : 1;
    at += count;
    return predictions.slice(at - count, at);
  });
}

/** Measures of a classification. */
export interface ClassificationMetrics {
  accuracy: number;
  /** Matthews correlation of several classes (Gorodkin 2004), as scikit-learn computes it. */
  mcc: number;
  /** Accuracy of always saying the most frequent class. */
  majority: number;
}

/** Compares predicted with true classes, both as numbers. */
export function evaluateClasses(
  truth: readonly number[],
  predicted: readonly number[],
  classes: number,
): ClassificationMetrics {
  const n = truth.length;
  const trueCounts = new Array<number>(classes).fill(0);
  const predictedCounts = new Array<number>(classes).fill(0);
  let right = 0;
  truth.forEach((label, i) => {
    trueCounts[label]++;
    predictedCounts[predicted[i]]++;
    if (label === predicted[i]) {
      right++;
    }
  });
  const product = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  const spread = Math.sqrt(
    (n * n - product(predictedCounts, predictedCounts)) * (n * n - product(trueCounts, trueCounts)),
  );
  return {
    accuracy: right / n,
    mcc: spread === 0 ? 0 : (right * n - product(trueCounts, predictedCounts)) / spread,
    majority: Math.max(...trueCounts) / n,
  };
}
