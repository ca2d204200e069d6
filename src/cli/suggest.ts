import { from } from 'arquero';
import { Command } from 'commander';
import { InputError } from '../data/errors.js';
import type { Warnings } from '../data/warnings.js';
import type { LanguageModel } from '../model/model.js';
import type { CandidateScorer } from '../scoring/suggest/suggest.js';
import { readEvidence, zeroShotOptions } from './evidenceOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addExamples } from './options.js';
import { tableOutput } from './output.js';
import { createProgress } from './progress.js';
import { columnNames } from './scoringOptions.js';
import { addSuggestOptions, checkSuggestUsage, type SuggestCommandOptions } from './suggestOptions.js';

/** `protein-lm suggest`: which variants to make next. */
export function suggestCommand(): Command {
  const command = new Command('suggest')
    .description(
      'Suggest which variants of a protein to make next, best first: by a head that finetune saved, or by zero-shot ' +
        'scores. Columns: rank, variant, mutations, score, deviation, acquisition, sequence. What was measured is never repeated.',
    )
    .argument('<fasta>', 'the wild type: FASTA, the first sequence counts');
  addSuggestOptions(command);
  command.action(suggest);
  return addExamples(
    command,
    'protein-lm suggest protein.fasta --head heads/gp --budget 96 --out round2.csv',
    'protein-lm suggest protein.fasta --head heads/gp --mutations 3 --positions 39-41 54 --acquisition thompson',
    'protein-lm suggest protein.fasta --alignment family.a3m --seen --mutations 2 --fixed 70 --measured round1.csv',
    'protein-lm suggest protein.fasta --model runs/first --letters ACDEFGHIKLMNQRSTVWY --diversity 0.5',
  );
}

async function suggest(fasta: string, options: SuggestCommandOptions, command: Command): Promise<void> {
  checkSuggestUsage(options, command);
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
  const { placeAlignment, readAlignment, seenLetters } = await import('../alignment/index.js');
  const alignment = await readAlignment(path, { query });
  return seenLetters(alignment, placeAlignment(alignment, wildType, fasta, { offset }).indices, letters);
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
