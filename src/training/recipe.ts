import { InputError } from '../data/errors.js';
import type { PRESETS } from '../model/presets.js';
import type { Schedule } from './schedule.js';

/** AdamW's constants; the defaults are the Performer paper's (Choromanski et al. 2021, appendix A.3). */
export interface OptimizerOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled weight decay of tensors of two or more dimensions; biases, gains and other vectors have none. */
  weightDecay: number;
  /** Global norm that gradients are clipped to. */
  clip: number;
}

export const PAPER_OPTIMIZER: OptimizerOptions = {
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-9,
  weightDecay: 0.1,
  clip: 0.5,
};

/** How long a run lasts: until the first of these that is given is reached. */
export interface Budget {
  steps?: number;
  /** Tokens through the model, padding not counted. */
  tokens?: number;
  /** Minutes of training, over all starts of the run. */
  minutes?: number;
}

/** How a model is trained. Everything that decides the weights is here, in the model's configuration and the data. */
export interface Recipe extends OptimizerOptions {
  /** `single`: each sequence is cropped to the length at random; `packed`: sequences are joined and cut to the length. */
  mode: 'single' | 'packed';
  /** Tokens of a row, `<cls>` and `<eos>` included. */
  length: number;
  /** Tokens of one step, padding included. */
  tokensPerBatch: number;
  /** Tokens that go through the model at once: a step adds up the gradients of several such passes. */
  tokensPerPass: number;
  learningRate: number;
  /** Steps of linear warm-up. */
  warmup: number;
  schedule: Schedule;
  /** Seed of the weights, the order of the data, masking and dropout. */
  seed: number;
  budget: Budget;
}

/** How often things beside the training itself happen. None of it changes the weights. */
export interface Cadence {
  /** Steps between two lines of `metrics.jsonl`. */
  logEvery: number;
  /** Steps between two validations. */
  validateEvery: number;
  /**
   * Sequences of the validation split that are taken, always the same: fewer where they are long, so that they have no
   * more tokens than so many rows of the recipe's length, or of 1024 where that is more.
   */
  validationSequences: number;
  /** Steps between two checkpoints; one is also saved every 15 minutes, and at the end. */
  checkpointEvery: number;
  /** Checkpoints kept, beside the best. */
  keep: number;
}

export const DEFAULT_CADENCE: Cadence = {
  logEvery: 10,
  validateEvery: 200,
  validationSequences: 200,
  checkpointEvery: 200,
  keep: 2,
};

/** Presets of the model. */
export type Preset = keyof typeof PRESETS;

/** What a preset changes in the recipe; the rest is the paper's. */
const PAPER = { ...PAPER_OPTIMIZER, mode: 'single', schedule: 'constant', seed: 0 } as const;

/** The recipe that goes with each preset of the model. */
export const RECIPES: Record<Preset, Recipe> = {
  'performer-36': {
    ...PAPER,
    length: 1024,
    tokensPerBatch: 65_536,
    tokensPerPass: 8192,
    learningRate: 1e-3,
    warmup: 2000,
    budget: { steps: 100_000 },
  },
  'performer-12': {
    ...PAPER,
    schedule: 'cosine',
    length: 1024,
    tokensPerBatch: 32_768,
    tokensPerPass: 8192,
    learningRate: 1e-3,
    warmup: 1000,
    budget: { steps: 50_000 },
  },
  'performer-6': {
    ...PAPER,
    schedule: 'cosine',
    length: 512,
    tokensPerBatch: 16_384,
    tokensPerPass: 8192,
    learningRate: 1e-3,
    warmup: 500,
    budget: { steps: 20_000 },
  },
  'performer-tiny': {
    ...PAPER,
    schedule: 'cosine',
    length: 256,
    tokensPerBatch: 4096,
    tokensPerPass: 4096,
    learningRate: 3e-3,
    warmup: 100,
    budget: { steps: 2000 },
  },
};

/** The range of each number of a recipe. */
const RANGES: { [name in keyof Recipe]?: { whole: boolean; minimum: number; maximum: number } } = {
  length: { whole: true, minimum: 3, maximum: 2 ** 24 },
  tokensPerBatch: { whole: true, minimum: 3, maximum: 2 ** 31 },
  tokensPerPass: { whole: true, minimum: 3, maximum: 2 ** 26 },
  learningRate: { whole: false, minimum: 0, maximum: 10 },
  warmup: { whole: true, minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  seed: { whole: true, minimum: 0, maximum: 2 ** 32 - 1 },
  beta1: { whole: false, minimum: 0, maximum: 0.999_999 },
  beta2: { whole: false, minimum: 0, maximum: 0.999_999 },
  epsilon: { whole: false, minimum: 0, maximum: 1 },
  weightDecay: { whole: false, minimum: 0, maximum: 1 },
  clip: { whole: false, minimum: 1e-6, maximum: 1e6 },
};

/** The values of a recipe that are words. */
const CHOICES: { [name in keyof Recipe]?: string[] } = {
  mode: ['single', 'packed'],
  schedule: ['constant', 'cosine'],
};

/**
 * A recipe with some values changed; those that are undefined change nothing.
 * @param where names the source of the changes in errors
 * @throws InputError naming the value: a name that no recipe has, a number out of its range
 */
export function changeRecipe(recipe: Recipe, changes: Partial<Recipe>, where: string): Recipe {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    const known = name as keyof Recipe;
    const range = RANGES[known];
    if (range) {
      const { whole, minimum, maximum } = range;
      const fits = whole ? Number.isSafeInteger(value) : Number.isFinite(value);
      if (!fits || (value as number) < minimum || (value as number) > maximum) {
        const kind = whole ? 'a whole number' : 'a number';
        throw new InputError(
          `${where}: ${name} is ${JSON.stringify(value)}; give ${kind} from ${minimum} to ${maximum}`,
        );
      }
    } else if (CHOICES[known]) {
      if (!CHOICES[known].includes(value as string)) {
        throw new InputError(`${where}: ${name} is ${JSON.stringify(value)}; give ${CHOICES[known].join(' or ')}`);
      }
    } else if (known === 'budget') {
      checkBudget(value as Budget, where);
    } else {
      const names = [...Object.keys(RANGES), ...Object.keys(CHOICES), 'budget'].join(', ');
      throw new InputError(`${where}: a recipe has no ${name}; it has ${names}`);
    }
  }
  return { ...recipe, ...Object.fromEntries(given) };
}

function checkBudget(budget: Budget, where: string): void {
  const entries = Object.entries(budget).filter(([, value]) => value !== undefined);
  for (const [name, value] of entries) {
    if (!['steps', 'tokens', 'minutes'].includes(name) || !(value > 0)) {
      throw new InputError(
        `${where}: ${name} is ${JSON.stringify(value)}; a budget has steps, tokens or minutes, above 0`,
      );
    }
  }
  if (entries.length === 0) {
    throw new InputError(`${where}: the budget is empty; give steps, tokens or minutes`);
  }
}

/** Share of the budget that is used up, in [0, 1]. */
export function budgetUsed(budget: Budget, done: { step: number; tokens: number; seconds: number }): number {
  const shares = [
    budget.steps === undefined ? 0 : done.step / budget.steps,
    budget.tokens === undefined ? 0 : done.tokens / budget.tokens,
    budget.minutes === undefined ? 0 : done.seconds / 60 / budget.minutes,
  ];
  return Math.min(1, Math.max(...shares));
}
