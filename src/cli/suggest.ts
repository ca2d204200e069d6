import { from } from 'arquero';
import { Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../data/errors.js';
import type { Warnings } from '../data/warnings.js';
import type { LanguageModel } from '../model/model.js';
import { ACQUISITIONS, type Acquisition } from '../scoring/suggest/acquisition.js';
import type { CandidateScorer } from '../scoring/suggest/suggest.js';
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
import { addCommonOptions, addExamples, type CommonOptions, givenFlags, number, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  SCORE_SETTINGS,
  type VariantTableOptions,
} from './scoringOptions.js';

interface SuggestCommandOptions extends CommonOptions, OutputOptions, EvidenceOptions, VariantTableOptions {
  head?: string;
  model?: string[];
  alignment?: string;
  structure?: string;
  measured?: string;
  budget: number;
  mutations: number;
  positions?: number[];
  fixed?: number[];
  letters?: string;
  seen?: boolean;
  acquisition?: Acquisition;
  kappa: number;
  best?: number;
  diversity: number;
  search: 'beam' | 'evolution';
  width: number;
  enumerate: number;
}

/** `protein-lm suggest`: which variants to make next. */
export function suggestCommand(): Command {
  const command = new Command('suggest')
    .description(
      'Suggest which variants of a protein to make next, best first: by a head that finetune saved, or by zero-shot ' +
        'scores. Columns: rank, variant, mutations, score, deviation, acquisition, sequence. What was measured is never repeated.',
    )
    .argument('<fasta>', 'the wild type: FASTA, the first sequence counts')
    .option('--head <folder>', 'score by a head; --method gp knows how sure it is')
    .addOption(modelOption(false))
    .option('--alignment <file>', "score by an alignment of the family; with --seen also the letters' choice")
    .option('--structure <file>', 'multiply zero-shot scores by 1 - relative solvent accessibility')
    .option('--measured <file>', 'variants that were measured, and are not to be repeated (a table or FASTA)')
    .option('--budget <n>', 'variants to suggest', wholeNumber(1, 1e5), 96)
    .option('--mutations <k>', 'most mutations of a variant', wholeNumber(1, 100), 1)
    .option('--positions <list...>', 'positions that may change: 24 30-35 (default: all)', ranges)
    .option('--fixed <list...>', 'positions that stay as they are', ranges)
    .option('--letters <letters>', 'letters that may come in (default: the 20 amino acids)', lettersOf)
    .option('--seen', 'only letters that the alignment has at the position')
    .addOption(
      new Option(
        '--acquisition <name>',
        'mean, expected improvement, upper confidence bound or Thompson draws (default: ei where a head knows deviations, else mean)',
      ).choices(ACQUISITIONS),
    )
    .option('--kappa <value>', 'ucb: standard deviations above the mean', number(0), 2)
    .option('--best <value>', 'ei: the best value so far (default: of what the head was trained on)', number())
    .option('--diversity <value>', 'what sharing mutations with an earlier suggestion costs', number(0), 0)
    .addOption(
      new Option('--search <how>', 'how to search more variants than can be enumerated')
        .choices(['beam', 'evolution'])
        .default('beam'),
    )
    .option('--width <n>', 'variants that the search keeps from round to round', wholeNumber(1, 1e5), 200)
    .option('--enumerate <n>', 'score all variants where there are no more', wholeNumber(1, 1e7), 20_000);
  addSchemeOptions(command, 'masked', ALL_SCHEMES);
  addEvidenceOptions(command);
  addVariantTableOptions(command, false);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action(suggest);
  return addExamples(
    command,
    'protein-lm suggest protein.fasta --head heads/gp --budget 96 --out round2.csv',
    'protein-lm suggest protein.fasta --head heads/gp --mutations 3 --positions 39-41 54 --acquisition thompson',
    'protein-lm suggest protein.fasta --alignment family.a3m --seen --mutations 2 --fixed 70 --measured round1.csv',
    'protein-lm suggest protein.fasta --model runs/first --letters ACDEFGHIKLMNQRSTVWY --diversity 0.5',
  );
}

function ranges(text: string, before: number[] | undefined): number[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (!match) {
    throw new InvalidArgumentError('Positions are numbers or ranges, such as 24 or 30-35.');
  }
  const first = Number(match[1]);
  const last = Number(match[2] ?? first);
  if (last < first || last - first > 1e6) {
    throw new InvalidArgumentError('A range goes from its lower to its higher position.');
  }
  return [...(before ?? []), ...Array.from({ length: last - first + 1 }, (_, i) => first + i)];
}

function lettersOf(text: string): string {
  const letters = text.toUpperCase();
  if (!/^[ACDEFGHIKLMNPQRSTVWY]+$/.test(letters)) {
    throw new InvalidArgumentError('The 20 amino acids are ACDEFGHIKLMNPQRSTVWY.');
  }
  return letters;
}

/** @throws UsageError for options that exclude each other, or that would not be looked at */
function checkUsage(options: SuggestCommandOptions, command: Command): void {
  const { head, model, alignment, structure, seen, acquisition } = options;
  if (head === undefined && model === undefined && alignment === undefined) {
    throw new UsageError('give --head FOLDER, --model FOLDER or --alignment FILE: what to score variants by');
  }
  if (seen && alignment === undefined) {
    throw new UsageError('--seen takes the letters of an alignment: give --alignment FILE');
  }
  if (head !== undefined) {
    const ofScores = [...SCORE_SETTINGS, 'structure', ...EVIDENCE_SETTINGS.filter((name) => name !== 'query')];
    const idle = [...givenFlags(command, ofScores), ...(seen ? [] : givenFlags(command, ['alignment', 'query']))];
    if (idle.length > 0) {
      throw new UsageError(`${idle.join(', ')} is of zero-shot scores, and a head keeps finetune's: leave it out`);
    }
    return;
  }
  checkEvidence(options, command, {
    model: model !== undefined,
    alignment: alignment !== undefined,
    structure: structure !== undefined,
  });
  if (acquisition !== undefined && acquisition !== 'mean') {
    throw new UsageError(`--acquisition ${acquisition} needs deviations: give --head FOLDER of --method gp`);
  }
}

async function suggest(fasta: string, options: SuggestCommandOptions, command: Command): Promise<void> {
  checkUsage(options, command);
  const output = tableOutput(options);
  const { readWildType } = await import('../scoring/assay.js');
  const { readMutations } = await import('../scoring/mutations.js');
  const { applyVariant } = await import('../scoring/variants.js');
  const { suggestVariants } = await import('../scoring/suggest/suggest.js');
  const { VariantSpace } = await import('../scoring/suggest/variantSpace.js');
  const { Warnings } = await import('../data/warnings.js');
  const { offset = 1 } = options;
  const wildType = await readWildType(fasta);
  const warnings = new Warnings();
  const measured = new Set<string>();
  if (options.measured !== undefined) {
    const table = await readMutations(options.measured, { ...options, columns: columnNames(options) });
    const [id = ''] = table.sequenceIds ?? [];
    for (const variant of table.of(id, wildType).variants) {
      measured.add(applyVariant(wildType, variant));
    }
  }
  const indices = (positions: number[] | undefined) => positions?.map((position) => position - offset);
  const space = new VariantSpace(wildType, {
    positions: indices(options.positions),
    fixed: indices(options.fixed),
    letters: await allowedLetters(fasta, wildType, options),
    mutations: options.mutations,
    offset,
  });
  const { startEngine } = await import('../engines/index.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const { scorer, best, trained, dispose } = await loadScorer(fasta, wildType, options, warnings);
  for (const sequence of trained) {
    measured.add(sequence);
  }
  const progress = createProgress({ label: 'scoring', unit: 'variants', quiet: options.quiet });
  const suggestions = await suggestVariants(scorer, space, {
    ...options,
    best: options.best ?? best,
    measured,
    onProgress: (scored) => progress.update(scored),
  });
  progress.end();
  dispose();
  await engine.stop();
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  if (suggestions.length < options.budget) {
    process.stderr.write(`warning: ${suggestions.length} variants are left to suggest, fewer than the budget\n`);
  }
  await output.write(
    from(
      suggestions.map(({ variant, value, deviation, acquisition, sequence }, i) => ({
        rank: i + 1,
        variant: variant.name,
        mutations: variant.edits.length,
        score: digits(value),
        deviation: deviation === undefined ? null : digits(deviation),
        acquisition: digits(acquisition),
        sequence,
      })),
    ),
  );
}

/** Letters that may come in at a position; undefined where all may. */
async function allowedLetters(
  fasta: string,
  wildType: string,
  { letters, seen, alignment: path, query, offset }: SuggestCommandOptions,
): Promise<((position: number) => string) | undefined> {
  if (!seen || path === undefined) {
    return letters === undefined ? undefined : () => letters;
  }
  const { LETTERS, placeAlignment, readAlignment, weightedCounts } = await import('../alignment/index.js');
  const alignment = await readAlignment(path, { query });
  const { indices } = placeAlignment(alignment, wildType, fasta, { offset });
  const counts = weightedCounts(alignment, new Float64Array(alignment.depth).fill(1));
  const states = counts.length / alignment.length;
  return (position) => {
    const column = indices[position];
    return [...(letters ?? LETTERS)]
      .filter((letter) => column !== -1 && counts[column * states + LETTERS.indexOf(letter)] > 0)
      .join('');
  };
}

interface LoadedScorer {
  scorer: CandidateScorer;
  /** The best value, and the sequences, that the scorer was trained on. */
  best?: number;
  trained: string[];
  dispose(): void;
}

async function loadScorer(
  fasta: string,
  wildType: string,
  options: SuggestCommandOptions,
  warnings: Warnings,
): Promise<LoadedScorer> {
  const { head: folder, model: folders = [] } = options;
  if (folder !== undefined) {
    const { loadHead } = await import('../scoring/heads/headFiles.js');
    const { headScorer, trainedSequences } = await import('../scoring/suggest/scorers.js');
    const loaded = await loadHead(folder, folders.length > 0 ? folders : undefined);
    if (loaded.description.task !== undefined || loaded.description.wildType !== wildType) {
      throw new InputError(`${fasta} is not the wild type that ${folder} was trained on; give that sequence`);
    }
    const { head } = loaded;
    const ofProcess = head.method === 'gp';
    return {
      scorer: headScorer(loaded),
      best: ofProcess
        ? head.measured.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
        : undefined,
      trained: ofProcess ? trainedSequences(head) : [],
      dispose: () => loaded.dispose(),
    };
  }
  const { scoreZeroShot } = await import('../scoring/blend.js');
  const { placeEvidence } = await import('../scoring/evidence.js');
  const { loadModel } = await import('../model/files.js');
  if (folders.length > 0) {
    await modelAlphabet(folders, 'suggest', ['protein']);
  }
  const models: LanguageModel[] = [];
  for (const path of folders) {
    models.push(await loadModel(path));
  }
  const files = { alignment: options.alignment, structure: options.structure };
  const read = await readEvidence(files, options, warnings);
  const evidence = placeEvidence(read, wildType, fasta, { offset: options.offset, warnings });
  return {
    scorer: {
      predict: async (variants) => ({
        values: await scoreZeroShot(models, evidence, wildType, variants, zeroShotOptions(options)),
      }),
    },
    trained: [],
    dispose: () => {
      for (const model of models) {
        model.dispose();
      }
    },
  };
}

/** Scores come from float32: more digits would say nothing. */
function digits(value: number): number {
  return Number(value.toPrecision(6));
}
