import { readFileSync } from 'node:fs';
import type { AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { completeAttention } from '../model/attention/index.js';
import { type AttentionConfig, changeAttention } from '../model/attention/options.js';
import { checkedConfig, parseConfig } from '../model/checkpoints/index.js';
import { changeAlphabet, type ModelConfig, maxLength, newConfig } from '../model/config.js';
import { convertConfig, convertModel } from '../model/convert.js';
import { loadModel, readModelConfig } from '../model/files.js';
import type { LanguageModel } from '../model/model.js';
import { type ModelSizes, PRESETS } from '../model/presets.js';
import { changeRecipe, type Preset, RECIPES, type Recipe } from './recipe.js';

/** What a new run is made of; what is absent follows from the preset. */
export interface NewRunOptions extends Partial<ModelSizes>, Partial<Omit<Recipe, 'length'>> {
  /** Model and recipe; default `performer-36`. */
  preset?: Preset;
  /** Path of a model's `config.json` instead of the preset's sizes; its `training` changes the recipe. */
  config?: string;
  /** Folder of a model whose weights the run begins with, and whose shape it has. */
  init?: string;
  /** As the options or the data say; else that of the model that the options name, or `protein`. */
  alphabet?: AlphabetName;
  /** Fields of the attention; of another kind than the model's they leave its fields to that kind's defaults. */
  attention?: Partial<AttentionConfig>;
  positions?: ModelConfig['position_embedding_type'];
  /** Tokens of a row, and of a new model's longest sequence. */
  length?: number;
}

/** How a run begins. */
export interface NewRun {
  config: ModelConfig;
  recipe: Recipe;
}

/**
 * The configuration and recipe of a new run.
 * @throws InputError where a size or a value of the recipe is out of its range, and where `init` has another alphabet
 */
export async function newRun(options: NewRunOptions): Promise<NewRun> {
  const { preset = 'performer-36', alphabet, positions, length, attention = {} } = options;
  let config: ModelConfig;
  let changes: Partial<Recipe> = {};
  if (options.init !== undefined) {
    ({ config } = await readModelConfig(options.init));
    config = convertConfig(config, { attention: changeAttention(config.attention, attention), length });
    const { alphabet: own = 'protein' } = config;
    if (alphabet !== undefined && own !== alphabet) {
      throw new InputError(
        `--init ${options.init}: its alphabet is ${own}, not ${alphabet}; give data of its alphabet`,
      );
    }
    changes = { length: Math.min(RECIPES[preset].length, maxLength(config)) };
  } else if (options.config === undefined) {
    config = newConfig({
      ...PRESETS[preset],
      length: length ?? RECIPES[preset].length,
      attention: { causal: false, ...attention },
      alphabet,
      ...(positions && { positions }),
    });
  } else {
    ({ config, changes } = readConfigFile(options.config));
    if (alphabet !== undefined && alphabet !== (config.alphabet ?? 'protein')) {
      config = changeAlphabet(config, alphabet);
    }
    if (positions) {
      config.position_embedding_type = positions;
    }
    // Complete: a new model has the defaults of its kind, not those of converted weights.
    config = convertConfig(config, { attention: completeAttention(changeAttention(config.attention, attention)) });
  }
  const sizes = {
    num_hidden_layers: options.layers,
    hidden_size: options.hidden,
    num_attention_heads: options.heads,
    intermediate_size: options.feedForward,
    hidden_dropout_prob: options.dropout,
  };
  for (const [name, value] of Object.entries(sizes)) {
    if (value !== undefined) {
      Object.assign(config, { [name]: value });
    }
  }
  // Once more, because of what the options changed.
  config = checkedConfig(config, options.config ?? 'options');
  // Long sequences are cut into pieces, of which rows are packed.
  const preferred: Partial<Recipe> = config.alphabet === undefined ? {} : { mode: 'packed' };
  const recipe = changeRecipe({ ...RECIPES[preset], ...preferred }, changes, options.config ?? 'options');
  const { mode, learningRate, warmup, schedule, tokensPerBatch, tokensPerPass, seed, budget } = options;
  const { beta1, beta2, epsilon, weightDecay, clip } = options;
  const adamW = { beta1, beta2, epsilon, weightDecay, clip };
  const given = { length, mode, learningRate, warmup, schedule, tokensPerBatch, tokensPerPass, seed, budget, ...adamW };
  return { config, recipe: changeRecipe(recipe, given, 'options') };
}

/**
 * The model of the folder `init` for a new run: with the attention, length and dropout of the run's configuration.
 * @param seed of what the conversion draws
 */
export async function initialModel(init: string, config: ModelConfig, seed: number): Promise<LanguageModel> {
  const loaded = await loadModel(init);
  const { attention, hidden_dropout_prob: dropout } = config;
  const model = await convertModel(loaded, { attention, length: maxLength(config), dropout }, seed);
  loaded.dispose();
  return model;
}

/** A config.json, whose `training` changes the recipe. */
function readConfigFile(path: string): { config: ModelConfig; changes: Partial<Recipe> } {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(`${path}: ${code === 'ENOENT' ? 'no such file' : message}; give a model's config.json`);
  }
  const { training, ...model } = json;
  return { config: parseConfig(JSON.stringify(model), path), changes: (training ?? {}) as Partial<Recipe> };
}
