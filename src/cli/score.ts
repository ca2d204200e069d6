import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { PROTEIN } from '../data/alphabet.js';
import type { LanguageModel } from '../model/model.js';
import type { Scorer } from '../scoring/scan.js';
import { UsageError } from './errors.js';
import {
  ALL_SCHEMES,
  addEvidenceOptions,
  checkEvidence,
  EVIDENCE_SETTINGS,
  type EvidenceOptions,
  readEvidence,
  zeroShotOptions,
} from './evidenceOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, givenFlags } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import { openTableWriter } from './resumableTable.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  SCORE_SETTINGS,
  type VariantTableOptions,
} from './scoringOptions.js';

interface ScoreCommandOptions extends CommonOptions, OutputOptions, EvidenceOptions, VariantTableOptions {
  model?: string[];
  alignment?: string;
  structure?: string;
  head?: string;
  mutations?: string;
  matrix?: boolean;
  logits?: boolean;
  fill?: boolean;
}

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
    .option(
      '--alignment <file>',
      'score by an alignment of the family: a3m, a2m, FASTA, Stockholm or CLUSTAL, also .gz',
    )
    .option('--structure <file>', 'multiply scores by 1 - relative solvent accessibility in a PDB or mmCIF file')
    .option('--head <folder>', 'predict by a head that finetune saved, in its unit; for classes label and probability')
    .option(
      '--mutations <file>',
      'variants: a table (.csv, .tsv, .json, .arrow, .parquet) or a FASTA file of whole variant sequences',
    )
    .option('--matrix', 'one row a position, one column a residue, instead of one row a substitution')
    .option('--logits', 'log-probabilities of all letters at each position, in nats, instead of scores')
    .option('--fill', 'what stands at each <mask> of the sequences, with the probabilities of the residues');
  addSchemeOptions(command, 'masked', ALL_SCHEMES);
  addEvidenceOptions(command);
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
  Insertions and deletions always get the difference of pseudo-log-likelihoods, per residue as Tranception has it
  (--no-per-residue: of sums, which compare with the scores of substitutions).
  site-independent   of an alignment: log f(mutant) - log f(wild type), f a column's frequencies of weighted rows
  log-odds           of an alignment: log f/(1 - f), mutant - wild type, near rows only, gaps a letter (rsalor's LOR)
  rsalor             log-odds times 1 - relative solvent accessibility: needs --structure
  pssm               of an alignment: PSI-BLAST's matrix, mutant - wild type
  An alignment scores substitutions alone; a residue without a column, or outside the structure, gets an empty score.
  A head computes the zero-shot score among its features as finetune was told to.`,
  );
  return addExamples(
    command,
    'protein-lm score protein.fasta --model runs/first --out scores.csv',
    'protein-lm score protein.fasta --model runs/first --matrix --out scan.csv',
    'protein-lm score protein.fasta --model esm2_t6_8M_UR50D --mutations mutants.csv --offset 24',
    'protein-lm score proteome.fasta.gz --model runs/a --model runs/b --scheme wt-marginals --out scores.arrow',
    'protein-lm score protein.fasta --head heads/mine --mutations candidates.csv --out predictions.csv',
    'protein-lm score protein.fasta --alignment family.a3m --structure protein.pdb --scheme rsalor --out scores.csv',
    'protein-lm score protein.fasta --model esm2_t6_8M_UR50D --alignment family.a3m --structure protein.pdb --blend',
    'protein-lm score designs.fasta --model runs/first --scheme pseudo-perplexity',
    'protein-lm score protein.fasta --model runs/first --logits --out logits.csv',
  );
}

async function score(fasta: string, options: ScoreCommandOptions, command: Command): Promise<void> {
  checkUsage(options, command);
  tableOutput(options); // A wrong --out shows before the work.
  const { readMutations } = await import('../scoring/mutations.js');
  const { checkScan, scanColumns, scanFasta, taskOf } = await import('../scoring/scan.js');
  const { Warnings } = await import('../data/warnings.js');
  // A head stands on protein models.
  const takesProteins = options.alignment !== undefined || options.structure !== undefined;
  const allowed = takesProteins ? (['protein'] as const) : (['protein', 'nucleotide'] as const);
  const alphabet = options.model ? await modelAlphabet(options.model, 'score', allowed) : PROTEIN;
  const reading = { ...options, columns: columnNames(options), alphabet: alphabet.name };
  const mutations = options.mutations === undefined ? undefined : await readMutations(options.mutations, reading);
  const warnings = new Warnings();
  const evidence = await readEvidence(options, options, warnings);
  const total = await checkScan(fasta, alphabet, {
    mutations,
    offset: options.offset,
    evidence,
    warnings,
    fill: options.fill,
  });

  const { startEngine } = await import('../engines/index.js');
  // An alignment alone takes no engine, but for the number of threads.
  const needed = options.model !== undefined || options.head !== undefined || options.threads !== undefined;
  const engine = needed ? await startEngine(options.device, { threads: options.threads }) : undefined;
  const { dispose, ...scorer } = await loadScorer(options);
  scorer.evidence = evidence;
  const task = taskOf(scorer);
  if (task && (mutations || options.matrix)) {
    const what = task === 'value' ? 'predicts a value of each sequence' : `classifies ${task}`;
    throw new UsageError(`${options.head ?? options.model?.[0]} ${what}: leave out --mutations and --matrix`);
  }
  const writer = await openTableWriter(options, scanColumns(scorer, options), await settingsOf(fasta, options));
  let index = writer.done.groups;
  const progress = createProgress({ label: 'scoring', total, unit: 'sequences', start: index, quiet: options.quiet });
  if (index > 0) {
    progress.log(`going on after ${index} sequences of the stopped run`);
  }
  const scan = scanFasta(fasta, scorer, {
    ...zeroShotOptions(options),
    mutations,
    matrix: options.matrix,
    logits: options.logits,
    fill: options.fill,
    offset: options.offset,
    done: writer.done,
    checked: total !== undefined,
    warnings,
    onProgress: (fraction, detail) => progress.update(index + fraction, detail),
  });
  try {
    for await (const { id, rows } of scan) {
      await writer.append(id, rows);
      progress.update(++index);
    }
    progress.end();
    await writer.close();
  } finally {
    await writer.release();
  }
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  dispose();
  await engine?.stop();
}

/** @throws UsageError for options that exclude each other, or that would not be looked at */
function checkUsage(options: ScoreCommandOptions, command: Command): void {
  const { model, head, alignment, structure } = options;
  if (model === undefined && head === undefined && alignment === undefined) {
    throw new UsageError('give --model FOLDER, --alignment FILE, or --head FOLDER with a head that finetune saved');
  }
  const ofScores = [...SCORE_SETTINGS, 'alignment', 'structure', ...EVIDENCE_SETTINGS];
  const settings = head === undefined ? [] : givenFlags(command, ofScores);
  if (settings.length > 0) {
    throw new UsageError(
      `${settings.join(', ')} is of zero-shot scores, and a head keeps finetune's: leave it out with --head`,
    );
  }
  if (head === undefined) {
    checkEvidence(options, command, {
      model: model !== undefined,
      alignment: alignment !== undefined,
      structure: structure !== undefined,
    });
  }
  const perSequence = options.scheme === 'pseudo-perplexity' || options.scheme === 'log-likelihood';
  const tables = (['matrix', 'logits', 'fill'] as const).filter((name) => options[name]);
  if (tables.length > 1) {
    throw new UsageError(`${tables.map((name) => `--${name}`).join(' and ')} exclude each other; give one of them`);
  }
  const [own] = tables.filter((name) => name !== 'matrix');
  if (own && (options.mutations !== undefined || head !== undefined || alignment !== undefined || !model)) {
    throw new UsageError(
      `--${own} shows what a model says of each position: give --model alone, without --mutations, --head and --alignment`,
    );
  }
  if (options.matrix && (options.mutations !== undefined || perSequence)) {
    throw new UsageError(
      '--matrix shows every single substitution: leave out --mutations and schemes of whole sequences',
    );
  }
}

/** What `--head` names, with its models, or the models that `--model` names. */
async function loadScorer({ head: folder, model = [] }: ScoreCommandOptions): Promise<Scorer & { dispose(): void }> {
  if (folder !== undefined) {
    const { loadHead } = await import('../scoring/heads/headFiles.js');
    const head = await loadHead(folder, model.length > 0 ? model : undefined);
    return { models: head.models, head, dispose: () => head.dispose() };
  }
  const { loadModel } = await import('../model/files.js');
  const models: LanguageModel[] = [];
  for (const path of model) {
    models.push(await loadModel(path));
  }
  const dispose = () => {
    for (const loaded of models) {
      loaded.dispose();
    }
  };
  return { models, dispose };
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
  const { out, format, quiet, debug, device, threads, model, mutations, alignment, structure, batchTokens, ...rest } =
    options;
  const weights: string[] = [];
  if (out !== undefined && out !== '-') {
    const { modelDigest } = await import('../scoring/heads/headFiles.js');
    for (const folder of model ?? []) {
      weights.push(await modelDigest(folder));
    }
  }
  const headFile = rest.head === undefined ? undefined : file(join(rest.head, 'head.json'));
  const [variants, family, fold] = [mutations, alignment, structure].map((path) => path && file(path));
  return { fasta: file(fasta), mutations: variants, weights, format, ...rest, head: headFile, family, fold };
}
