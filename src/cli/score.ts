import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { type Alphabet, BASES, PROTEIN, RESIDUES } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { SequenceRecord } from '../data/letters.js';
import type { ReadingOptions } from '../data/reading.js';
import type { LanguageModel } from '../model/model.js';
import type { LoadedHead } from '../scoring/heads/headFiles.js';
import type { Mutations } from '../scoring/mutations.js';
import type { ScoreOptions } from '../scoring/schemes.js';
import type { Variant } from '../scoring/variants.js';
import { UsageError } from './errors.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, givenFlags } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import { type Cell, openTableWriter } from './resumableTable.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  SCORE_SETTINGS,
  type SchemeOptions,
  scoreOptions,
  type VariantTableOptions,
} from './scoringOptions.js';

interface ScoreCommandOptions extends CommonOptions, OutputOptions, SchemeOptions, VariantTableOptions {
  model?: string[];
  head?: string;
  mutations?: string;
  matrix?: boolean;
}

/** What each position is substituted by: the columns of a matrix, as ProteinGym orders the amino acids, or the bases. */
const lettersOf = ({ name }: Alphabet) => (name === 'nucleotide' ? [...BASES] : [...RESIDUES].sort());

/** `protein-lm score`: zero-shot scores of mutations. */
export function scoreCommand(): Command {
  const command = new Command('score')
    .description(
      'Score mutations: every single substitution (by the 20 residues, or the 4 bases) of each sequence, or those of --mutations. Higher is fitter. ' +
        'Columns: sequence_id, variant, score. A stop codon or a letter the model does not know gets an empty score. ' +
        'With --out a stopped run goes on where it was.',
    )
    .argument('<fasta>', 'wild-type sequences: FASTA, plain or gzip; - for standard input')
    .addOption(modelOption(false))
    .option('--head <folder>', 'predict by a head that finetune saved, in its unit; for classes label and probability')
    .option(
      '--mutations <file>',
      'variants: a table (.csv, .tsv, .json, .arrow, also .gz) or a FASTA file of whole variant sequences',
    )
    .option('--matrix', 'one row a position, one column a residue, instead of one row a substitution');
  addSchemeOptions(command);
  addVariantTableOptions(command, false);
  addOutputOptions(command);
  addCommonOptions(command, 'device', 'threads');
  command.action(score);
  command.addHelpText(
    'after',
    `
Schemes:
  masked-marginals   log p(mutant) - log p(wild type) with the position masked, summed (ProteinGym)
  wt-marginals       the same, from one pass on the wild type
  mutant-marginals   the same, from one pass on the mutant
  pseudo-perplexity  difference of pseudo-log-likelihoods; without --mutations each sequence's pseudo-perplexity
  log-likelihood     for causal models; without --mutations each sequence's log-likelihood
  Insertions and deletions always get the difference of pseudo-log-likelihoods.
  A head computes the zero-shot score among its features as finetune was told to.`,
  );
  return addExamples(
    command,
    'protein-lm score protein.fasta --model runs/first --out scores.csv',
    'protein-lm score protein.fasta --model runs/first --matrix --out scan.csv',
    'protein-lm score protein.fasta --model esm2_t6_8M_UR50D --mutations mutants.csv --offset 24',
    'protein-lm score proteome.fasta.gz --model runs/a --model runs/b --scheme wt-marginals --out scores.arrow',
    'protein-lm score protein.fasta --head heads/mine --mutations candidates.csv --out predictions.csv',
    'protein-lm score designs.fasta --model runs/first --scheme pseudo-perplexity',
  );
}

async function score(fasta: string, options: ScoreCommandOptions, command: Command): Promise<void> {
  const perSequence = options.scheme === 'pseudo-perplexity' || options.scheme === 'log-likelihood';
  if (options.model === undefined && options.head === undefined) {
    throw new UsageError('give --model FOLDER, or --head FOLDER with a head that finetune saved');
  }
  const settings = options.head === undefined ? [] : givenFlags(command, SCORE_SETTINGS);
  if (settings.length > 0) {
    throw new UsageError(
      `${settings.join(', ')} is of zero-shot scores, and a head keeps finetune's: leave it out with --head`,
    );
  }
  if (options.matrix && (options.mutations !== undefined || perSequence)) {
    throw new UsageError(
      '--matrix shows every single substitution: leave out --mutations and schemes of whole sequences',
    );
  }
  tableOutput(options); // A wrong --out shows before the work.
  const { readSequences } = await import('../data/reading.js');
  const { Warnings } = await import('../data/warnings.js');
  const { readMutations } = await import('../scoring/mutations.js');
  // A head stands on protein models.
  const alphabet = options.model ? await modelAlphabet(options.model, 'score', ['protein', 'nucleotide']) : PROTEIN;
  const reading = { alphabet: alphabet.name, cut: Number.POSITIVE_INFINITY };
  const mutations =
    options.mutations === undefined
      ? undefined
      : await readMutations(options.mutations, {
          ...options,
          columns: columnNames(options),
          alphabet: alphabet.name,
        });
  const warnings = new Warnings();
  const total = await checkInput(fasta, reading, mutations, warnings, options.mutations);

  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const loaded = options.head === undefined ? undefined : await loadSavedHead(options.head, options.model);
  const models: LanguageModel[] = loaded?.models ?? [];
  if (!loaded) {
    for (const folder of options.model!) {
      models.push(await loadModel(folder));
    }
  }
  const task = loaded?.description.task;
  if (task && (mutations || options.matrix)) {
    throw new UsageError(`${options.head} classifies ${task}: leave out --mutations and --matrix`);
  }
  const columns = options.matrix
    ? ['sequence_id', 'position', 'wild_type', ...lettersOf(alphabet)]
    : task === 'residues'
      ? ['sequence_id', 'position', 'residue', 'label', 'score']
      : ['sequence_id', task === 'sequences' ? 'label' : 'variant', 'score'];
  const writer = await openTableWriter(options, columns, await settingsOf(fasta, options));

  const start = writer.done.groups;
  const progress = createProgress({ label: 'scoring', total, unit: 'sequences', start, quiet: options.quiet });
  if (start > 0) {
    progress.log(`going on after ${start} sequences of the stopped run`);
  }
  let index = 0;
  const found = new Set<string>();
  // What the first reading of a file warned of needs no second warning.
  const again = total === undefined ? warnings : new Warnings();
  const duplicates = mutations ? 'error' : 'ignore';
  for await (const record of readSequences(fasta, { ...reading, warnings: again, duplicates })) {
    if (mutations?.sequenceIds && !mutations.sequenceIds.has(record.id)) {
      continue;
    }
    if (mutations && !mutations.sequenceIds && index > 0) {
      throw severalSequences(fasta, options.mutations!);
    }
    found.add(record.id);
    if (index < start) {
      if (index === start - 1 && writer.done.last !== record.id) {
        throw new InputError(`${options.out}.partial continues another input at ${record.id}; delete it to start anew`);
      }
      index++;
      continue;
    }
    const report = (done: number, all: number) => progress.update(index + done / all, `${record.id} ${done}/${all}`);
    const rows = await scoreProtein(models, loaded, record, mutations, options, warnings, report);
    await writer.append(record.id, rows);
    progress.update(++index);
  }
  progress.end();
  const absent = [...(mutations?.sequenceIds ?? [])].find((id) => !found.has(id));
  if (absent !== undefined) {
    throw unknownSequence(absent, fasta, options.mutations!);
  }
  if (index === 0) {
    throw new InputError(`${fasta} has no sequences; give a FASTA file`);
  }
  await writer.close();
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  if (loaded) {
    loaded.dispose();
  } else {
    for (const model of models) {
      model.dispose();
    }
  }
  await engine.stop();
}

async function loadSavedHead(folder: string, models?: string[]): Promise<LoadedHead> {
  const { loadHead } = await import('../scoring/heads/headFiles.js');
  return loadHead(folder, models);
}

/**
 * Reads a file to its end before the work begins, so that a fault in it shows now and not after hours.
 * @returns how many sequences there are to score; undefined for standard input
 */
async function checkInput(
  fasta: string,
  reading: ReadingOptions,
  mutations: Mutations | undefined,
  warnings: import('../data/warnings.js').Warnings,
  path?: string,
): Promise<number | undefined> {
  if (fasta === '-') {
    return undefined;
  }
  const { readSequences } = await import('../data/reading.js');
  const wanted = mutations?.sequenceIds;
  const missing = new Set(wanted);
  let sequences = 0;
  const duplicates = mutations ? 'error' : 'ignore';
  for await (const { id, sequence } of readSequences(fasta, { ...reading, warnings, duplicates })) {
    if (wanted && !missing.delete(id)) {
      continue;
    }
    sequences++;
    if (mutations && !wanted && sequences > 1) {
      throw severalSequences(fasta, path!);
    }
    mutations?.of(id, sequence);
  }
  const [absent] = missing;
  if (absent !== undefined) {
    throw unknownSequence(absent, fasta, path!);
  }
  if (sequences === 0) {
    throw new InputError(`${fasta} has no sequences; give a FASTA file`);
  }
  return sequences;
}

function severalSequences(fasta: string, path: string): InputError {
  return new InputError(
    `${fasta} has several sequences and ${path} does not say which a variant belongs to; add a column sequence_id`,
  );
}

function unknownSequence(id: string, fasta: string, path: string): InputError {
  return new InputError(`${path}: sequence_id ${id} is not in ${fasta}; give the FASTA file that has it`);
}

async function scoreProtein(
  models: LanguageModel[],
  head: LoadedHead | undefined,
  { id, sequence, file, line }: SequenceRecord,
  mutations: Mutations | undefined,
  options: ScoreCommandOptions,
  warnings: import('../data/warnings.js').Warnings,
  onProgress: (done: number, total: number) => void,
): Promise<Cell[][]> {
  const { defaultScheme, scoreSequence, scoreVariants, unscorable } = await import('../scoring/schemes.js');
  const { singleSubstitutions } = await import('../scoring/variants.js');
  const where = `${file}:${line}, record ${id}`;
  const settings = { ...scoreOptions(options), onProgress };
  const scheme = options.scheme ?? defaultScheme(models[0]);
  if (head?.description.task) {
    return classRows(head, id, sequence, options.offset);
  }
  if (!head && !mutations && (scheme === 'pseudo-perplexity' || scheme === 'log-likelihood')) {
    return [[id, 'WT', rounded(await scoreSequence(models, sequence, settings))]];
  }

  const letters = lettersOf(models[0].alphabet);
  let variants: Variant[];
  if (mutations) {
    const placed = mutations.of(id, sequence);
    variants = placed.variants;
    for (let i = 0; i < placed.mismatches; i++) {
      warnings.add('row that does not match the wild type, skipped', where);
    }
  } else {
    // An unknown wild-type residue has nothing to be compared with.
    const nucleotide = models[0].alphabet.name === 'nucleotide';
    const known = (index: number) =>
      nucleotide ? BASES.includes(sequence[index]) : !'XBZ-.'.includes(sequence[index]);
    variants = [...singleSubstitutions(sequence, letters.join(''), options.offset)].filter((variant) => {
      return known(variant.edits[0].start);
    });
    if ([...sequence].some((_, i) => !known(i))) {
      const unknown = nucleotide
        ? 'unknown bases (N and other ambiguous ones, gaps)'
        : 'unknown residues (X, B, Z, gaps)';
      warnings.add(`${unknown} in a sequence, their positions not scored`, where);
    }
  }
  // Of the unchanged sequence a zero-shot score is 0, and a head predicts a value as of any other.
  const unchanged: Variant[] = head && options.matrix ? [{ name: 'WT', edits: [] }] : [];
  const scores = head
    ? await predict(head, sequence, where, [...variants, ...unchanged], {
        tokensPerBatch: options.batchTokens,
        onProgress,
      })
    : await scoreVariants(models, sequence, variants, settings);
  variants.forEach((variant, i) => {
    if (!Number.isNaN(scores[i])) {
      return;
    }
    const reason = unscorable(models[0], sequence, variant) ?? 'no score';
    warnings.add(`${reason}, score left empty`, `${where}, variant ${variant.name}`);
  });
  if (!options.matrix) {
    return variants.map((variant, i) => [id, variant.name, rounded(scores[i])]);
  }

  const ofWildType = unchanged.length > 0 ? rounded(scores.at(-1)!) : 0;
  const rows = [...sequence].map((residue, i): Cell[] => [
    id,
    i + (options.offset ?? 1),
    residue,
    ...letters.map((other) => (other === residue ? ofWildType : null)),
  ]);
  variants.forEach(({ edits }, i) => {
    const { start, residues } = edits[0];
    rows[start][3 + letters.indexOf(residues)] = rounded(scores[i]);
  });
  return rows;
}

/** What a classification head says: one row a sequence or a residue, with the probability as the score. */
async function classRows(
  { head, description }: LoadedHead,
  id: string,
  sequence: string,
  offset = 1,
): Promise<Cell[][]> {
  const { classify } = await import('../scoring/heads/classifier.js');
  if (head.method !== 'fine-tune') {
    throw new Error('a classification head is a fine-tuned one');
  }
  const [predictions] = await classify(head, description.task!, description.classes!, [sequence]);
  return predictions!.map(({ label, probability }, i) =>
    description.task === 'residues'
      ? [id, i + offset, sequence[i], label, rounded(probability)]
      : [id, label, rounded(probability)],
  );
}

/** A head's predictions, NaN where the models have no token for a variant. */
async function predict(
  { head, description, models, scoring }: LoadedHead,
  sequence: string,
  where: string,
  variants: Variant[],
  work: Pick<ScoreOptions, 'tokensPerBatch' | 'onProgress'>,
): Promise<Float64Array> {
  const { VariantFeatures } = await import('../scoring/heads/features.js');
  const { predictAssayHead } = await import('../scoring/heads/assayHead.js');
  const { unscorable } = await import('../scoring/schemes.js');
  if (sequence !== description.wildType) {
    throw new InputError(`${where} is not the wild type that the head was trained on; give that sequence`);
  }
  const rows = [...variants.keys()].filter((i) => !unscorable(models[0], sequence, variants[i]));
  const known = rows.map((row) => variants[row]);
  const features = new VariantFeatures(models, sequence, known, { ...scoring, ...work });
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

/** What decides the content of the table: a stopped run goes on only where all of it is the same. */
async function settingsOf(fasta: string, options: ScoreCommandOptions): Promise<unknown> {
  const file = (path: string) => {
    if (path === '-') {
      return path;
    }
    const { size, mtimeMs } = statSync(path);
    return [path, size, mtimeMs];
  };
  const { out, format, quiet, debug, device, threads, model, mutations, batchTokens, ...rest } = options;
  const weights: string[] = [];
  if (out !== undefined && out !== '-') {
    const { modelDigest } = await import('../scoring/heads/headFiles.js');
    for (const folder of model ?? []) {
      weights.push(await modelDigest(folder));
    }
  }
  const headFile = rest.head === undefined ? undefined : file(join(rest.head, 'head.safetensors'));
  return { fasta: file(fasta), mutations: mutations && file(mutations), weights, format, ...rest, head: headFile };
}
