import { InputError } from '../data/errors.js';

/** Which attention a model has, and its options: the `attention` field of config.json. */
export interface AttentionConfig {
  kind: 'favor-relu' | 'softmax';
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
  /** `deterministic`: the kernel's function on queries and keys as they are; the others project them first. */
  features?: 'deterministic' | 'orthogonal' | 'iid';
  /** Rows of the projection. */
  num_features?: number;
  /** ε that the features are shifted by. */
  kernel_epsilon?: number;
}

/** A model's config.json: Hugging Face's fields of an ESM model, and `attention`. */
export interface ModelConfig {
  model_type: 'performer' | 'esm';
  architectures?: string[];
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
}

/** The configuration of a new model: a Performer-ReLU unless `attention` says otherwise. */
export function newConfig(options: NewModelOptions): ModelConfig {
  const attention: AttentionConfig = { kind: 'favor-relu', causal: false, ...options.attention };
  if (attention.kind === 'favor-relu') {
    attention.features ??= 'deterministic';
    attention.kernel_epsilon ??= 1e-3;
  }
  return checkConfig(
    {
      model_type: attention.kind === 'softmax' ? 'esm' : 'performer',
      architectures: ['EsmForMaskedLM'],
      vocab_size: 33,
      mask_token_id: 32,
      pad_token_id: 1,
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
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new InputError(`${where}: not a JSON object: give a model's config.json`);
  const fields = json as Record<string, unknown>;
  const attention = (fields.attention ?? {}) as Partial<AttentionConfig>;
  const config = {
    model_type: 'esm',
    vocab_size: 33,
    mask_token_id: 32,
    pad_token_id: 1,
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    layer_norm_eps: 1e-12,
    position_embedding_type: 'absolute',
    tie_word_embeddings: true,
    emb_layer_norm_before: false,
    token_dropout: false,
    ...withoutNulls(fields),
    attention: {
      kind: 'softmax',
      ...(attention.kind === 'favor-relu' ? { features: 'deterministic', kernel_epsilon: 1e-3 } : {}),
      ...attention,
      causal: attention.causal ?? false,
    },
  } as ModelConfig;
  return checkConfig(config, where);
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
    if (!allowed.includes(value)) fail(field, value, allowed.map((x) => JSON.stringify(x)).join(' or '));
  };
  for (const field of COUNTS)
    if (!Number.isInteger(config[field]) || config[field] < 1) fail(field, config[field], 'a whole number above 0');
  for (const field of ['mask_token_id', 'pad_token_id'] as const)
    if (!Number.isInteger(config[field]) || config[field] < 0 || config[field] >= config.vocab_size)
      fail(field, config[field], `a token id below vocab_size (${config.vocab_size})`);
  if (config.hidden_size % config.num_attention_heads !== 0)
    fail('hidden_size', config.hidden_size, `a multiple of num_attention_heads (${config.num_attention_heads})`);
  for (const field of ['hidden_dropout_prob', 'attention_probs_dropout_prob'] as const)
    if (!(config[field] >= 0 && config[field] < 1)) fail(field, config[field], 'in [0, 1)');
  if (!(config.layer_norm_eps > 0)) fail('layer_norm_eps', config.layer_norm_eps, 'above 0');
  oneOf('model_type', config.model_type, ['performer', 'esm']);
  oneOf('position_embedding_type', config.position_embedding_type, ['absolute', 'rotary']);
  const headSize = config.hidden_size / config.num_attention_heads;
  if (config.position_embedding_type === 'rotary' && headSize % 2 !== 0)
    fail('hidden_size / num_attention_heads', headSize, 'even for rotary positions');
  oneOf('tie_word_embeddings', config.tie_word_embeddings, [true]);
  const { attention } = config;
  oneOf('attention.kind', attention.kind, ['favor-relu', 'softmax']);
  oneOf('attention.causal', attention.causal, [true, false]);
  if (attention.kind === 'favor-relu') {
    oneOf('attention.features', attention.features, ['deterministic', 'orthogonal', 'iid']);
    if (!((attention.kernel_epsilon as number) > 0))
      fail('attention.kernel_epsilon', attention.kernel_epsilon, 'above 0');
    if (attention.features !== 'deterministic' && !((attention.num_features as number) >= 1))
      fail('attention.num_features', attention.num_features, 'a whole number above 0');
  }
  return config;
}

/** Tokens of the longest sequence that the model takes, <cls> and <eos> included; Infinity for rotary positions. */
export function maxLength(config: ModelConfig): number {
  return config.position_embedding_type === 'rotary'
    ? Number.POSITIVE_INFINITY
    : config.max_position_embeddings - config.pad_token_id - 1;
}
