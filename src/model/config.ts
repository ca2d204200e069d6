import { ALPHABET_NAMES, ALPHABETS, type AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { KernelFunction } from '../ops/favorKernelAttention.js';

/** The kinds of attention, Performer-ReLU first. */
export const ATTENTION_KINDS = [
  'favor-relu',
  'favor-softmax',
  'favor-trig',
  'favor-kernel',
  'softmax',
  'linformer',
  'lsh',
] as const;
export type AttentionKind = (typeof ATTENTION_KINDS)[number];

/** Functions of `favor-kernel`. */
export const KERNELS: KernelFunction[] = ['relu', 'exp', 'sigmoid', 'gelu', 'abs', 'cos', 'tanh', 'identity', 'elu+1'];

/** Which attention a model has, and its options: the `attention` field of config.json. */
export interface AttentionConfig {
  kind: AttentionKind;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
  /**
   * `favor-*`: how queries and keys are projected. `deterministic` (`favor-relu` and `favor-kernel` only, and their
   * default): not at all; `orthogonal` (the others' default), `regularized` and `iid`: by random matrices.
   */
  features?: 'deterministic' | 'orthogonal' | 'regularized' | 'iid';
  /** `favor-*`: rows of the projection, default 256. `favor-trig` has two features a row. */
  num_features?: number;
  /** `favor-kernel`: the function of its features. Default `relu`. */
  kernel?: KernelFunction;
  /**
   * `favor-*` but `favor-trig`: ε that the features are shifted by, default 1e-3, for `favor-softmax` 1e-6, and 1e-15
   * where it is converted from `softmax`.
   */
  kernel_epsilon?: number;
  /** Training steps after which random features, or the rotations of `lsh`, are drawn anew. Default: never. */
  redraw_interval?: number;
  /** `linformer`: keys that are left for each query. Default 600. */
  projected_length?: number;
  /** `lsh`: rounds of hashing. Default 4. */
  num_hashes?: number;
  /** `lsh`: buckets of a long sequence, an even number; one of n chunks has n where that is fewer. Default 64. */
  num_buckets?: number;
  /** `lsh`: tokens of a chunk. Default 64. */
  chunk_length?: number;
}

const ATTENTION_DEFAULTS: Record<AttentionKind, Partial<AttentionConfig>> = {
  'favor-relu': { features: 'deterministic', kernel_epsilon: 1e-3 },
  'favor-softmax': { features: 'orthogonal', kernel_epsilon: 1e-6 },
  'favor-trig': { features: 'orthogonal' },
  'favor-kernel': { kernel: 'relu', features: 'deterministic', kernel_epsilon: 1e-3 },
  softmax: {},
  linformer: { projected_length: 600 },
  lsh: { num_hashes: 4, num_buckets: 64, chunk_length: 64 },
};

/** An attention's configuration with the defaults of its kind, `favor-relu` where none is said. */
export function completeAttention(attention: Partial<AttentionConfig>): AttentionConfig {
  const { kind = 'favor-relu', causal = false } = attention;
  const complete = { kind, causal, ...ATTENTION_DEFAULTS[kind], ...attention };
  const random = complete.features !== undefined && complete.features !== 'deterministic';
  return random ? { ...complete, num_features: complete.num_features ?? 256 } : complete;
}

/**
 * ε of FAVOR+ with the weights of a trained Transformer. Its features carry exp(-|q|²/2√d), which training without an ε
 * lets fall far below 1e-6: there a larger one would be all that is left of them.
 */
const CONVERTED_EPSILON = 1e-15;

/** A model's config.json: Hugging Face's fields of an ESM model, and `attention`. */
export interface ModelConfig {
  model_type: 'performer' | 'esm';
  architectures?: string[];
  /** What the letters of a sequence are; absent where they are residues of a `protein`. */
  alphabet?: Exclude<AlphabetName, 'protein'>;
  vocab_size: number;
  mask_token_id: number;
  pad_token_id: number;
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  intermediate_size: number;
  hidden_dropout_prob: number;
  attention_probs_dropout_prob: number;
  /** Rows of the position table: 2 more than the tokens of the longest sequence. */
  max_position_embeddings: number;
  layer_norm_eps: number;
  position_embedding_type: 'absolute' | 'rotary';
  emb_layer_norm_before: boolean;
  token_dropout: boolean;
  tie_word_embeddings: boolean;
  attention: AttentionConfig;
}

/** Sizes of a preset. */
export interface ModelSizes {
  layers: number;
  hidden: number;
  heads: number;
  feedForward: number;
  /** Share of elements dropped from every sublayer's result in training. */
  dropout: number;
}

/** The presets of `--preset`; performer-36 is the paper's model (Choromanski et al. 2021, section 4.3). */
export const PRESETS = {
  'performer-36': { layers: 36, hidden: 512, heads: 8, feedForward: 1024, dropout: 0.1 },
  'performer-12': { layers: 12, hidden: 512, heads: 8, feedForward: 1024, dropout: 0 },
  'performer-6': { layers: 6, hidden: 256, heads: 8, feedForward: 1024, dropout: 0 },
  'performer-tiny': { layers: 4, hidden: 128, heads: 4, feedForward: 256, dropout: 0 },
} satisfies Record<string, ModelSizes>;

/** Tokens of the longest sequence that a new model takes, <cls> and <eos> included. */
export const DEFAULT_LENGTH = 1024;

/** What of a new model's configuration is chosen; the rest is the skeleton's. */
export interface NewModelOptions extends ModelSizes {
  /** Tokens of the longest sequence, <cls> and <eos> included. Default 1024. */
  length?: number;
  positions?: 'absolute' | 'rotary';
  attention?: Partial<AttentionConfig>;
  /** Default `protein`. */
  alphabet?: AlphabetName;
}

/** The configuration of a new model: a Performer-ReLU unless `attention` says otherwise. */
export function newConfig(options: NewModelOptions): ModelConfig {
  const attention = completeAttention(options.attention ?? {});
  return checkConfig(
    {
      model_type: attention.kind === 'softmax' ? 'esm' : 'performer',
      architectures: ['EsmForMaskedLM'],
      ...alphabetFields(options.alphabet),
      hidden_size: options.hidden,
      num_hidden_layers: options.layers,
      num_attention_heads: options.heads,
      intermediate_size: options.feedForward,
      hidden_dropout_prob: options.dropout,
      attention_probs_dropout_prob: 0,
      max_position_embeddings: (options.length ?? DEFAULT_LENGTH) + 2,
      layer_norm_eps: 1e-5,
      position_embedding_type: options.positions ?? 'absolute',
      emb_layer_norm_before: false,
      token_dropout: false,
      tie_word_embeddings: true,
      attention,
    },
    'model options',
  );
}

/**
 * Reads a config.json, ours or Hugging Face's ESM: fields that it leaves out take Hugging Face's defaults, and without
 * `attention` it is exact attention.
 * @param where names the file in errors
 * @throws InputError naming the field and its value
 */
export function parseConfig(text: string, where: string): ModelConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${where}: not JSON (${(error as Error).message}): give a model's config.json`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InputError(`${where}: not a JSON object: give a model's config.json`);
  }
  const fields = json as Record<string, unknown>;
  const config = {
    model_type: 'esm',
    ...defaultAlphabetFields(fields.alphabet),
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    layer_norm_eps: 1e-12,
    position_embedding_type: 'absolute',
    tie_word_embeddings: true,
    emb_layer_norm_before: false,
    token_dropout: false,
    ...withoutNulls(fields),
    attention: completeAttention({ kind: 'softmax', ...(fields.attention as Partial<AttentionConfig> | undefined) }),
  } as ModelConfig;
  return checkConfig(config, where);
}

/** The fields of a configuration that follow from its alphabet. */
function alphabetFields(name: AlphabetName = 'protein') {
  const { size, mask, pad } = ALPHABETS[name];
  const fields = { vocab_size: size, mask_token_id: mask, pad_token_id: pad };
  return name === 'protein' ? fields : { alphabet: name, ...fields };
}

/** Those of a file that names its alphabet, or does not; a wrong name shows when the fields are checked. */
function defaultAlphabetFields(name: unknown) {
  return alphabetFields(ALPHABET_NAMES.find((known) => known === name));
}

/** A configuration for another alphabet: a new model's, as weights know one alphabet only. */
export function changeAlphabet(config: ModelConfig, name: AlphabetName): ModelConfig {
  const { alphabet, ...rest } = config;
  const fields = alphabetFields(name);
  const positions = config.max_position_embeddings - config.pad_token_id + fields.pad_token_id;
  return { ...rest, ...fields, max_position_embeddings: positions };
}

/** What of a model changes. */
export interface Conversion {
  /** The new attention; fields that it leaves out take the defaults of its kind. `causal` stays as it was. */
  attention?: Partial<AttentionConfig>;
  /** Tokens of the longest sequence, where that is more than the model takes: its position table grows. */
  length?: number;
}

/** The configuration of a model after a conversion. Throws InputError as parseConfig does, `where` naming its place. */
export function convertConfig(
  config: ModelConfig,
  { attention, length }: Conversion,
  where = 'conversion',
): ModelConfig {
  const { kind: before, causal } = config.attention;
  const exact = before === 'softmax' && attention?.kind === 'favor-softmax';
  const epsilon = exact ? { kernel_epsilon: CONVERTED_EPSILON } : {};
  const changed = attention ? { causal, ...epsilon, ...attention } : config.attention;
  const grows = length !== undefined && length > maxLength(config);
  return parseConfig(
    JSON.stringify({
      ...config,
      model_type: changed.kind === 'softmax' ? 'esm' : 'performer',
      max_position_embeddings: grows ? length + config.pad_token_id + 1 : config.max_position_embeddings,
      attention: changed,
    }),
    where,
  );
}

function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

const COUNTS = [
  'vocab_size',
  'hidden_size',
  'num_hidden_layers',
  'num_attention_heads',
  'intermediate_size',
  'max_position_embeddings',
] as const;

function checkConfig(config: ModelConfig, where: string): ModelConfig {
  const fail = (field: string, value: unknown, need: string): never => {
    throw new InputError(`${where}: ${field} is ${JSON.stringify(value) ?? 'missing'}: it must be ${need}`);
  };
  const oneOf = (field: string, value: unknown, allowed: unknown[]) => {
    if (!allowed.includes(value)) {
      fail(field, value, allowed.map((x) => JSON.stringify(x)).join(' or '));
    }
  };
  for (const field of COUNTS) {
    if (!Number.isInteger(config[field]) || config[field] < 1) {
      fail(field, config[field], 'a whole number above 0');
    }
  }
  for (const field of ['mask_token_id', 'pad_token_id'] as const) {
    if (!Number.isInteger(config[field]) || config[field] < 0 || config[field] >= config.vocab_size) {
      fail(field, config[field], `a token id below vocab_size (${config.vocab_size})`);
    }
  }
  if (config.hidden_size % config.num_attention_heads !== 0) {
    fail('hidden_size', config.hidden_size, `a multiple of num_attention_heads (${config.num_attention_heads})`);
  }
  for (const field of ['hidden_dropout_prob', 'attention_probs_dropout_prob'] as const) {
    if (!(config[field] >= 0 && config[field] < 1)) {
      fail(field, config[field], 'in [0, 1)');
    }
  }
  if (!(config.layer_norm_eps > 0)) {
    fail('layer_norm_eps', config.layer_norm_eps, 'above 0');
  }
  if (config.alphabet !== undefined) {
    oneOf('alphabet', config.alphabet, [...ALPHABET_NAMES]);
  }
  oneOf('model_type', config.model_type, ['performer', 'esm']);
  oneOf('position_embedding_type', config.position_embedding_type, ['absolute', 'rotary']);
  const headSize = config.hidden_size / config.num_attention_heads;
  if (config.position_embedding_type === 'rotary' && headSize % 2 !== 0) {
    fail('hidden_size / num_attention_heads', headSize, 'even for rotary positions');
  }
  oneOf('tie_word_embeddings', config.tie_word_embeddings, [true]);
  checkAttention(config.attention, fail, oneOf);
  return config;
}

/** The range of each number of an attention's configuration. */
const ATTENTION_RANGES = {
  num_features: [1, 65_536],
  redraw_interval: [1, Number.MAX_SAFE_INTEGER],
  projected_length: [1, 2 ** 24],
  num_hashes: [1, 64],
  num_buckets: [2, 65_536],
  chunk_length: [1, 2 ** 24],
} as const;

function checkAttention(
  attention: AttentionConfig,
  fail: (field: string, value: unknown, need: string) => never,
  oneOf: (field: string, value: unknown, allowed: unknown[]) => void,
): void {
  const { kind, causal, features, kernel, kernel_epsilon: epsilon } = attention;
  oneOf('attention.kind', kind, [...ATTENTION_KINDS]);
  oneOf('attention.causal', causal, kind === 'linformer' ? [false] : [true, false]);
  const known = ['kind', 'causal', 'features', 'kernel', 'kernel_epsilon', ...Object.keys(ATTENTION_RANGES)];
  for (const [field, value] of Object.entries(attention)) {
    if (!known.includes(field)) {
      fail(`attention.${field}`, value, `left out: there are ${known.join(', ')}`);
    }
  }
  if (kind.startsWith('favor-')) {
    const random = ['orthogonal', 'regularized', 'iid'];
    const projectionFree = kind === 'favor-relu' || kind === 'favor-kernel';
    oneOf('attention.features', features, projectionFree ? ['deterministic', ...random] : random);
    if (kind !== 'favor-trig' && !((epsilon as number) > 0)) {
      fail('attention.kernel_epsilon', epsilon, 'above 0');
    }
  }
  if (kind === 'favor-kernel') {
    oneOf('attention.kernel', kernel, KERNELS);
  }
  for (const [field, [minimum, maximum]] of Object.entries(ATTENTION_RANGES)) {
    const value = attention[field as keyof typeof ATTENTION_RANGES];
    if (value !== undefined && !(Number.isInteger(value) && value >= minimum && value <= maximum)) {
      fail(`attention.${field}`, value, `a whole number from ${minimum} to ${maximum}`);
    }
  }
  if (kind === 'lsh' && attention.num_buckets! % 2 !== 0) {
    fail('attention.num_buckets', attention.num_buckets, 'even');
  }
}

/** Tokens of the longest sequence that the model takes, <cls> and <eos> included: without limit for rotary positions. */
export function maxLength(config: ModelConfig): number {
  const limited = config.position_embedding_type === 'absolute' || config.attention.kind === 'linformer';
  return limited ? config.max_position_embeddings - config.pad_token_id - 1 : Number.POSITIVE_INFINITY;
}
