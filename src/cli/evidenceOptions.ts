import { type Command, Option } from 'commander';
import { ALIGNMENT_SCHEMES, type AlignmentScheme } from '../alignment/scores.js';
import type { Warnings } from '../data/warnings.js';
import { BLENDS, type Blend } from '../scoring/blend.js';
import type { Evidence } from '../scoring/evidence.js';
import { ENSEMBLES, type Ensemble, SCHEMES, type Scheme, type ScoreOptions } from '../scoring/schemes.js';
import { AREA_TABLES, type AreaTable } from '../structures/solvent.js';
import { UsageError } from './errors.js';
import { givenFlags, number } from './options.js';
import { type SchemeOptions, scoreOptions } from './scoringOptions.js';

/** Zero-shot scores by more than a model: shared by the commands that take an alignment or a structure. */
export interface EvidenceOptions extends Omit<SchemeOptions, 'scheme'> {
  scheme?: Scheme | AlignmentScheme;
  query?: string;
  solvent?: boolean;
  chain?: string;
  areas?: AreaTable;
  hetero?: boolean;
  water?: boolean;
  blend?: Blend;
  alignmentShare?: number;
  ensemble?: Ensemble;
}

/** Names of the options that only mean something beside another one. */
const OF_STRUCTURES = ['solvent', 'chain', 'areas', 'hetero', 'water'] as const;
/** Those of `EvidenceOptions` that scores depend on, for heads, which take none of them. */
export const EVIDENCE_SETTINGS = ['query', ...OF_STRUCTURES, 'blend', 'alignmentShare', 'ensemble'] as const;

/** Schemes of models and of alignments, by one option. */
export const ALL_SCHEMES = [...SCHEMES, ...ALIGNMENT_SCHEMES] as const;

/** Adds the options beside `--alignment` and `--structure`, which each command words itself. */
export function addEvidenceOptions(command: Command): Command {
  return command
    .option('--query <id>', "the alignment's row that is the protein (default: the first)")
    .option('--solvent', 'multiply scores by 1 - relative solvent accessibility, which --structure does for any scheme')
    .option('--chain <id>', "the structure's chain (default: the first)")
    .addOption(
      new Option('--areas <table>', 'largest areas of residues: Tien et al. 2013, or as the package rsalor has them')
        .choices(AREA_TABLES)
        .default('tien'),
    )
    .option('--hetero', "let the structure's ligands and ions cover its residues")
    .option('--water', "let the structure's waters cover its residues")
    .addOption(
      new Option(
        '--blend [form]',
        "one score of models and alignment: z, their sum in deviations over all single substitutions; mixture, Tranception's mixed log probabilities",
      )
        .choices(BLENDS)
        .preset('z'),
    )
    .option('--alignment-share <share>', "the alignment's share of --blend mixture (default: 0.6)", number(0, 1))
    .addOption(
      new Option('--ensemble <how>', "several models' scores: their mean, or the least")
        .choices(ENSEMBLES)
        .default('mean'),
    );
}

/**
 * Checks that options fit together, before anything is read.
 * @throws UsageError for what excludes each other, or would not be looked at
 */
export function checkEvidence(
  options: EvidenceOptions,
  command: Command,
  given: { model: boolean; alignment: boolean; structure: boolean },
  names = { alignment: '--alignment FILE', structure: '--structure FILE' },
): void {
  const { scheme, blend, alignmentShare } = options;
  const ofAlignments = isAlignmentScheme(scheme);
  if (ofAlignments && !given.alignment) {
    throw new UsageError(`--scheme ${scheme} is of an alignment: give ${names.alignment}`);
  }
  if (scheme !== undefined && !ofAlignments && !given.model) {
    throw new UsageError(`--scheme ${scheme} is of a model: give --model FOLDER, or ${ALIGNMENT_SCHEMES.join(', ')}`);
  }
  if (given.model && given.alignment && blend === undefined) {
    throw new UsageError('--model and an alignment give one score by --blend: add it, or leave one of them out');
  }
  if (blend !== undefined && !(given.model && given.alignment)) {
    throw new UsageError(`--blend is of a model and an alignment: give --model FOLDER and ${names.alignment}`);
  }
  if (blend === 'mixture' && ofAlignments && scheme !== 'site-independent') {
    throw new UsageError(`--blend mixture mixes log probabilities, which ${scheme} has none of: take site-independent`);
  }
  if (alignmentShare !== undefined && blend !== 'mixture') {
    throw new UsageError('--alignment-share is of --blend mixture: add it, or leave it out');
  }
  if (scheme === 'rsalor' && !given.structure) {
    throw new UsageError(`--scheme rsalor takes solvent accessibility from a structure: give ${names.structure}`);
  }
  const idle = [
    ...(given.alignment ? [] : givenFlags(command, ['query'])),
    ...(given.structure ? [] : givenFlags(command, OF_STRUCTURES)),
    ...(given.model ? [] : givenFlags(command, ['ensemble'])),
  ];
  if (idle.length > 0) {
    throw new UsageError(`${idle.join(', ')} would not be looked at: ${IDLE[idle[0]]}`);
  }
}

const IDLE: Readonly<Record<string, string>> = {
  '--query': 'it is of an alignment, and there is none',
  '--ensemble': 'it is of models, and there is none',
  '--solvent': 'it is of a structure, and there is none',
  '--chain': 'it is of a structure, and there is none',
  '--areas': 'it is of a structure, and there is none',
  '--hetero': 'it is of a structure, and there is none',
  '--water': 'it is of a structure, and there is none',
};

function isAlignmentScheme(scheme: string | undefined): scheme is AlignmentScheme {
  return (ALIGNMENT_SCHEMES as readonly (string | undefined)[]).includes(scheme);
}

/** Reads what the options name. */
export async function readEvidence(
  files: { alignment?: string; structure?: string },
  options: EvidenceOptions,
  warnings: Warnings,
): Promise<Evidence> {
  const { readAlignmentEvidence, readStructureEvidence } = await import('../scoring/evidence.js');
  const { alignment: path, structure } = files;
  const usual = options.blend === 'mixture' ? 'site-independent' : 'log-odds';
  const scheme = isAlignmentScheme(options.scheme) ? options.scheme : usual;
  return {
    alignment: path === undefined ? undefined : await readAlignmentEvidence(path, { ...options, scheme, warnings }),
    structure: structure === undefined ? undefined : readStructureEvidence(structure, { ...options, warnings }),
  };
}

/** What the schemes and blends take, from the command line's options. */
export function zeroShotOptions(
  options: EvidenceOptions,
): ScoreOptions & Pick<EvidenceOptions, 'blend' | 'alignmentShare'> {
  const { scheme, blend, alignmentShare, ensemble } = options;
  const ofModel = isAlignmentScheme(scheme) ? undefined : scheme;
  return { ...scoreOptions({ ...options, scheme: ofModel }), ensemble, blend, alignmentShare };
}
