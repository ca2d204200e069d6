import { ALPHABETS, type AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { Attention } from './attention/attention.js';
import { attentionKind, checkAttention, completeAttention, createAttention, withRevision } from './attention/index.js';
import type { AttentionConfig } from './attention/options.js';
import { DEFAULT_LENGTH, type ModelSizes } from './presets.js';

/**
 * A model's configuration: Hugging Face's names of an ESM model's fields, whatever the family, and `attention`. What
 * else the network is made of follows from the family that `model_type` names.
 */
export interface ModelConfig {
  model_type: string;
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
  /** Base of the angles of rotary positions, where the weights bring none. Default 10000. */
  rope_theta?: number;
  emb_layer_norm_before: boolean;
  token_dropout: boolean;
  tie_word_embeddings: boolean;
  attention: AttentionConfig;
}

/** What of a new model's configuration is chosen; the rest is the skeleton's. */
export interface NewModelOptions extends ModelSizes {
  /** Tokens of the longest sequence, <cls> and <eos> included. Default 1024. */
  length?: number;
  positions?: 'absolute' | 'rotary';
  attention?: Partial<AttentionConfig>;
  /** Default `protein`. */
  alphabet?: AlphabetName;
}

/** The configuration of a new model, in ESM's layout: a Performer-ReLU unless `attention` says otherwise. */
export function newConfig(options: NewModelOptions): ModelConfig {
  const attention = withRevision(completeAttention(options.attention ?? {}));
  const config: ModelConfig = {
    model_type: modelType(attention, 'model options'),
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
  };
  checkConfig(config, 'model options');
  return config;
}

/** What ESM's layout is called where the attention is exact, as Hugging Face's own is, and where it is not. */
export function modelType({ kind }: AttentionConfig, where: string): 'esm' | 'performer' {
  return attentionKind(kind, where).exact ? 'esm' : 'performer';
}

/** The fields of a configuration that follow from its alphabet. */
export function alphabetFields(name: AlphabetName = 'protein') {
  const { size, mask, pad } = ALPHABETS[name];
  const fields = { vocab_size: size, mask_token_id: mask, pad_token_id: pad };
  return name === 'protein' ? fields : { alphabet: name, ...fields };
}

/** A configuration for another alphabet: a new model's, as weights know one alphabet only. */
export function changeAlphabet(config: ModelConfig, name: AlphabetName): ModelConfig {
  const { alphabet, ...rest } = config;
  const fields = alphabetFields(name);
  const positions = config.max_position_embeddings - config.pad_token_id + fields.pad_token_id;
  return { ...rest, ...fields, max_position_embeddings: positions };
}

const COUNTS = [
  'vocab_size',
  'hidden_size',
  'num_hidden_layers',
  'num_attention_heads',
  'intermediate_size',
  'max_position_embeddings',
] as const;

/**
 * Checks what every configuration has.
 * @param where names the file in errors
 * @throws InputError naming the field and its value
 */
export function checkConfig(config: ModelConfig, where: string): void {
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
  if (config.rope_theta !== undefined && !(config.rope_theta > 0)) {
    fail('rope_theta', config.rope_theta, 'above 0');
  }
  if (config.alphabet !== undefined) {
    oneOf('alphabet', config.alphabet, Object.keys(ALPHABETS));
  }
  oneOf('position_embedding_type', config.position_embedding_type, ['absolute', 'rotary']);
  const headSize = config.hidden_size / config.num_attention_heads;
  if (config.position_embedding_type === 'rotary' && headSize % 2 !== 0) {
    fail('hidden_size / num_attention_heads', headSize, 'even for rotary positions');
  }
  for (const field of ['emb_layer_norm_before', 'token_dropout', 'tie_word_embeddings'] as const) {
    oneOf(field, config[field], [true, false]);
  }
  checkAttention(config.attention, where);
}

/** Tokens of the longest sequence that the position table has rows for, <cls> and <eos> included. */
function tableLength(config: ModelConfig): number {
  return config.max_position_embeddings - config.pad_token_id - 1;
}

/** Tokens of the longest sequence that the model takes, <cls> and <eos> included: without limit for rotary positions. */
export function maxLength(config: ModelConfig): number {
  const { fixedLength } = attentionKind(config.attention.kind);
  const limited = config.position_embedding_type === 'absolute' || fixedLength;
  return limited ? tableLength(config) : Number.POSITIVE_INFINITY;
}

/** The attention that the configuration names. */
export function attentionOf(config: ModelConfig): Attention {
  const { hidden_size: hidden, num_attention_heads: heads, attention } = config;
  return createAttention(attention, { heads, size: hidden / heads, length: tableLength(config) });
}
