import { ALPHABET_NAMES, type AlphabetName } from '../../data/alphabet.js';
import type { Objective } from '../../data/batches.js';
import { InputError } from '../../data/errors.js';
import { attentionKind, DEFAULT_ATTENTION } from '../../model/attention/index.js';
import type { AttentionConfig } from '../../model/attention/options.js';
import { checkedConfig } from '../../model/checkpoints/index.js';
import { type ModelConfig, newConfig } from '../../model/config.js';
import { convertConfig } from '../../model/convert.js';
import { type ModelSizes, PRESETS } from '../../model/presets.js';
import { type Cadence, changeRecipe, DEFAULT_CADENCE, type Preset, RECIPES, type Recipe } from '../recipe.js';

/** What a comparison's file says. */
export interface ComparisonFile {
  /** What a letter is. Default `protein`; data that is no protein needs it. */
  alphabet?: AlphabetName;
  /** Token store, FASTA files, or for `bytes` files of any kind, with the names or families that are held out. */
  data?: string;
  fasta?: string[];
  files?: string[];
  holdout?: string[];
  /** Sizes and recipe; `model` and `training` change them. Default performer-tiny. */
  preset?: Preset;
  model?: Partial<ModelSizes> & { positions?: ModelConfig['position_embedding_type'] };
  training?: Partial<Recipe>;
  cadence?: Partial<Cadence>;
  /** Seeds of weights, data order and masking; each gives every attention one run. Default 1 and 2. */
  seeds?: number[];
  /** Default masked. `causal` leaves out the attentions that have no causal form. */
  objectives?: Objective[];
  /** The attentions by the name that tables show. */
  attentions: Record<string, Partial<AttentionConfig>>;
  /**
   * Attentions by name, or `true` for all, whose cells keep less for the gradients and compute it again, to fit into
   * memory. The figures stay the same; time and memory are those of recomputing.
   */
  recompute?: boolean | string[];
  /** Sequences of the test and the ood split that are taken. Default 1000. */
  evaluationSequences?: number;
  /**
   * Trained models that are converted, and trained on for a share of their steps: to some of the attentions above, or
   * to those of `attentions` here, which are not trained from the start. `objectives`: not all of those above.
   */
  transfer?: {
    from: string;
    to: string[];
    attentions?: Record<string, Partial<AttentionConfig>>;
    objectives?: Objective[];
    share?: number;
  };
  /** Time and memory of a training step of one sequence, by its length. */
  lengths?: {
    lengths: number[];
    /** Default: all. The bound, an attention that returns the values, is always there. */
    attentions?: string[];
    /** Longer sequences are left out where a step would take longer, in seconds. Default 60. */
    longestStep?: number;
  };
}

/** What the bound of time and memory is called: an attention that returns the values. */
export const BOUND = 'attention returns V';

/** One piece of work: a run of training, a conversion, or a measurement. */
export type Cell = { id: string; attention: string; recompute?: true } & (
  | { kind: 'train'; objective: Objective; seed: number; config: ModelConfig; recipe: Recipe }
  | { kind: 'transfer'; from: string; objective: Objective; seed: number; config: ModelConfig; recipe: Recipe }
  | { kind: 'length'; length: number; bound: boolean; config: ModelConfig; recipe: Recipe }
);

/** A comparison: what its file says, with the defaults. */
export interface Comparison extends ComparisonFile {
  cadence: Cadence;
  evaluationSequences: number;
  longestStep: number;
  cells: Cell[];
}

const FIELDS: (keyof ComparisonFile)[] = [
  'alphabet',
  'data',
  'fasta',
  'files',
  'holdout',
  'preset',
  'model',
  'training',
  'cadence',
  'seeds',
  'objectives',
  'attentions',
  'recompute',
  'evaluationSequences',
  'transfer',
  'lengths',
];

/**
 * Reads a comparison's JSON.
 * @param where names the file in errors
 * @throws InputError naming the field
 */
export function parseComparison(text: string, where: string): Comparison {
  let file: ComparisonFile;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${where}: not JSON (${(error as Error).message})`);
  }
  const fail = (what: string): never => {
    throw new InputError(`${where}: ${what}`);
  };
  const unknown = Object.keys(file).find((name) => !FIELDS.includes(name as keyof ComparisonFile));
  if (unknown) {
    fail(`no field ${unknown} is known; there are ${FIELDS.join(', ')}`);
  }
  const { preset = 'performer-tiny', seeds = [1, 2], objectives = ['masked'], attentions } = file;
  if (!(preset in PRESETS)) {
    fail(`preset is ${JSON.stringify(preset)}; give ${Object.keys(PRESETS).join(' or ')}`);
  }
  if (typeof attentions !== 'object' || attentions === null || Object.keys(attentions).length === 0) {
    fail('attentions is missing; give one or more by name, such as { "Performer-ReLU": { "kind": "favor-relu" } }');
  }
  if ([file.data, file.fasta, file.files].filter((given) => given !== undefined).length !== 1) {
    fail('give either data, fasta or files');
  }
  const { alphabet = 'protein' } = file;
  if (!ALPHABET_NAMES.includes(alphabet)) {
    fail(`alphabet is ${JSON.stringify(alphabet)}; give ${ALPHABET_NAMES.join(' or ')}`);
  }
  for (const objective of objectives) {
    if (objective !== 'masked' && objective !== 'causal') {
      fail(`objectives has ${JSON.stringify(objective)}; give masked or causal`);
    }
  }
  const named = (names: string[], field: string) => {
    for (const name of names) {
      if (!(name in attentions)) {
        fail(`${field} names ${name}, which attentions lacks`);
      }
    }
  };
  const { recompute = false } = file;
  if (typeof recompute !== 'boolean' && !Array.isArray(recompute)) {
    fail(`recompute is ${JSON.stringify(recompute)}; give true or a list of attentions`);
  }
  if (Array.isArray(recompute)) {
    named(recompute, 'recompute');
  }
  // Absent where it is not asked for: a cell's name follows from all that it says.
  const recomputed = Array.isArray(recompute) ? recompute : recompute ? [...Object.keys(attentions), BOUND] : [];
  const recomputing = (attention: string) => (recomputed.includes(attention) ? { recompute: true as const } : {});
  const preferred: Partial<Recipe> = alphabet === 'protein' ? {} : { mode: 'packed' };
  const recipe = changeRecipe({ ...RECIPES[preset], ...preferred }, file.training ?? {}, where);
  const cadence = { ...DEFAULT_CADENCE, ...file.cadence };
  const configOf = (name: string, causal: boolean, length = recipe.length) => {
    const config = newConfig({
      ...PRESETS[preset],
      ...file.model,
      length,
      attention: { ...attentions[name], causal },
      alphabet,
    });
    return checkedConfig(config, `${where}: attentions.${name}`);
  };
  const hasCausalForm = ({ kind = DEFAULT_ATTENTION }: Partial<AttentionConfig>, name: string) =>
    attentionKind(kind, `${where}: attentions.${name}`).causal;
  const cells: Cell[] = [];
  for (const objective of objectives) {
    for (const seed of seeds) {
      for (const attention of Object.keys(attentions)) {
        if (objective === 'causal' && !hasCausalForm(attentions[attention], attention)) {
          continue;
        }
        const config = configOf(attention, objective === 'causal');
        const own = { attention, ...recomputing(attention), objective, seed, config, recipe: { ...recipe, seed } };
        cells.push({ kind: 'train', id: '', ...own });
      }
    }
  }
  for (const cell of cells) {
    cell.id = idOf(cell);
  }
  if (file.transfer) {
    const { from, to, share = 0.1 } = file.transfer;
    const targets = { ...attentions, ...file.transfer.attentions };
    named([from, ...to.filter((name) => !(name in targets))], 'transfer');
    const { steps } = recipe.budget;
    if (steps === undefined) {
      fail('transfer needs a budget of steps');
    }
    const wanted = file.transfer.objectives ?? objectives;
    for (const source of cells.filter((cell) => cell.attention === from)) {
      if (source.kind !== 'train' || !wanted.includes(source.objective)) {
        continue;
      }
      for (const attention of to) {
        if (source.config.attention.causal && !hasCausalForm(targets[attention], attention)) {
          continue;
        }
        const budget = { steps: Math.max(1, Math.round(steps! * share)) };
        const transfer: Cell = {
          kind: 'transfer',
          id: '',
          attention,
          ...recomputing(attention),
          from: source.id,
          objective: source.objective,
          seed: source.seed,
          config: convertConfig(source.config, { attention: targets[attention] }, `${where}: attentions.${attention}`),
          recipe: { ...source.recipe, budget },
        };
        cells.push({ ...transfer, id: idOf(transfer) });
      }
    }
  }
  if (file.lengths) {
    const names = file.lengths.attentions ?? Object.keys(attentions);
    named(names, 'lengths.attentions');
    for (const attention of [BOUND, ...names]) {
      for (const length of [...file.lengths.lengths].sort((a, b) => a - b)) {
        const bound = attention === BOUND;
        const config = bound ? configOf(names[0], false, length) : configOf(attention, false, length);
        // However long the training is that it is a step of.
        const step = { ...recipe, budget: {} };
        const own = { attention, ...recomputing(attention), length, bound, config, recipe: step };
        const cell: Cell = { kind: 'length', id: '', ...own };
        cells.push({ ...cell, id: idOf(cell) });
      }
    }
  }
  return {
    ...file,
    cadence,
    evaluationSequences: file.evaluationSequences ?? 1000,
    longestStep: file.lengths?.longestStep ?? 60,
    cells,
  };
}

/** A cell's name: what people look for, and a hash of all that its result depends on. */
function idOf(cell: Cell): string {
  const content = JSON.stringify({ ...cell, id: '' });
  let hash = 0x811c9dc5;
  for (let i = 0; i < content.length; i++) {
    hash = Math.imul(hash ^ content.charCodeAt(i), 0x01000193) >>> 0;
  }
  const name = cell.attention.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  const which = cell.kind === 'length' ? `${cell.length}` : `${cell.objective}-seed${cell.seed}`;
  return `${cell.kind}-${name}-${which}-${hash.toString(16).padStart(8, '0')}`;
}
