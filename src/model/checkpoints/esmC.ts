import { Alphabet, PROTEIN } from '../../data/alphabet.js';
import { MODEL_WARNING } from '../../data/warnings.js';
import type { Weights } from '../../formats/weights.js';
import { ESM_SKELETON } from '../architecture.js';
import { completeAttention, EXACT_ATTENTION } from '../attention/index.js';
import type { AttentionConfig } from '../attention/options.js';
import { checkConfig, type ModelConfig } from '../config.js';
import { layerName } from './esm.js';
import type { CheckpointFamily } from './family.js';
import { checkFields, type FieldRules } from './fields.js';

/** Tokens that a sequence had at most in its training, which windows keep to. */
const LENGTH = 2048;

/**
 * ESM C (EvolutionaryScale 2024): SwiGLU, no biases, LayerNorm on queries and keys over the whole width, residuals scaled
 * by √(layers / 36), a vocabulary padded to 64. Hugging Face's layout, and the released `.pth` without a config.json.
 */
export const esmC: CheckpointFamily = {
  modelTypes: ['esmc'],

  readConfig(fields, where) {
    checkFields(fields, FIELDS, where);
    const hidden = fields.d_model ?? fields.hidden_size;
    const config = {
      vocab_size: 64,
      mask_token_id: PROTEIN.mask,
      pad_token_id: PROTEIN.pad,
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
      layer_norm_eps: 1e-5,
      ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)),
      model_type: 'esmc',
      max_position_embeddings: fields.max_position_embeddings ?? LENGTH + PROTEIN.pad + 1,
      hidden_size: hidden,
      num_hidden_layers: fields.n_layers ?? fields.num_hidden_layers,
      num_attention_heads: fields.n_heads ?? fields.num_attention_heads,
      // 8/3 of the width, in steps of 256.
      intermediate_size: fields.intermediate_size ?? 256 * Math.ceil(((8 / 3) * (hidden as number)) / 256 - 1e-9),
      position_embedding_type: 'rotary',
      emb_layer_norm_before: false,
      token_dropout: false,
      tie_word_embeddings: false,
      attention: completeAttention({
        kind: EXACT_ATTENTION,
        ...(fields.attention as Partial<AttentionConfig> | undefined),
      }),
    } as ModelConfig;
    checkConfig(config, where);
    return config;
  },

  recognise(weights) {
    const embedding = weights.info('embed.weight')?.shape;
    const first = weights.info('transformer.blocks.0.attn.layernorm_qkv.1.weight');
    if (!embedding || !first) {
      return undefined;
    }
    const layers = new Set(weights.names.flatMap((name) => /^transformer\.blocks\.(\d+)\./.exec(name)?.[1] ?? []));
    return {
      model_type: 'esmc',
      architectures: ['ESMCForMaskedLM'],
      vocab_size: embedding[0],
      d_model: embedding[1],
      n_layers: layers.size,
      n_heads: headsOf(weights, embedding[1]),
      intermediate_size: weights.info('transformer.blocks.0.ffn.3.weight')?.shape[1],
    };
  },

  writeConfig: ({ hidden_size, num_hidden_layers, num_attention_heads, ...config }) => ({
    ...config,
    d_model: hidden_size,
    n_layers: num_hidden_layers,
    n_heads: num_attention_heads,
  }),

  architecture: (config) => ({
    ...ESM_SKELETON,
    tokens: PROTEIN.size,
    vocabulary: config.vocab_size,
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    heads: config.num_attention_heads,
    inner: config.intermediate_size,
    dropout: config.hidden_dropout_prob,
    normEpsilon: config.layer_norm_eps,
    normBias: { blocks: true, last: false },
    feedForward: 'swiglu',
    biases: { attention: false, feedForward: false },
    queryKeyNorm: true,
    residualScale: Math.sqrt(config.num_hidden_layers / 36),
    positionRows: config.max_position_embeddings,
    padId: config.pad_token_id,
    maskId: config.mask_token_id,
    tokenDropout: false,
    head: config.architectures?.[0] === 'ESMCModel' ? 'none' : 'esm',
    tied: false,
  }),

  tensorsOf({ name }) {
    const { layer, rest } = layerName(name);
    if (layer === undefined) {
      return [MODEL[name] ?? name];
    }
    return [`esmc.transformer.blocks.${layer}.${LAYER[rest] ?? rest.replace(/^attention\./, 'attn.')}`];
  },

  view: (name) => [{ name: RELEASED.reduce((text, [from, to]) => text.replace(from, to), name) }],

  readVocabulary: async () => new Alphabet(PROTEIN.tokens.map((token) => (token === '<null_1>' ? '|' : token))),
};

const FIELDS: FieldRules = {
  used: [
    'attention',
    'attention_probs_dropout_prob',
    'd_model',
    'hidden_dropout_prob',
    'hidden_size',
    'intermediate_size',
    'layer_norm_eps',
    'max_position_embeddings',
    'n_heads',
    'n_layers',
    'num_attention_heads',
    'num_hidden_layers',
    'vocab_size',
  ],
  only: {
    emb_layer_norm_before: ['false'],
    position_embedding_type: ['"rotary"'],
    tie_word_embeddings: ['false'],
    token_dropout: ['false'],
  },
};

/** Heads are 64 wide in the released models, from 960 up; made-up smaller ones have them 16 wide. */
function headsOf({ path }: Weights, width: number): number {
  const size = width >= 640 ? 64 : 16;
  if (size !== 64) {
    process.emitWarning(
      `${path}: its heads are taken as ${size} wide; a config.json with n_heads would say`,
      MODEL_WARNING,
    );
  }
  return width / size;
}

const MODEL: Record<string, string> = {
  'embeddings.word': 'esmc.embed.weight',
  'norm.weight': 'esmc.transformer.norm.weight',
  'rotary.inverseFrequencies': 'esmc.transformer.rotary.inv_freq',
  'head.dense.weight': 'lm_head.0.weight',
  'head.dense.bias': 'lm_head.0.bias',
  'head.norm.weight': 'lm_head.2.weight',
  'head.norm.bias': 'lm_head.2.bias',
  'head.decoder': 'lm_head.3.weight',
  'head.bias': 'lm_head.3.bias',
};

const LAYER: Record<string, string> = {
  'attention.norm.weight': 'attn.layernorm_qkv.layer_norm_weight',
  'attention.norm.bias': 'attn.layernorm_qkv.layer_norm_bias',
  'attention.qkv.weight': 'attn.layernorm_qkv.weight',
  'attention.queryNorm.weight': 'attn.q_ln.weight',
  'attention.keyNorm.weight': 'attn.k_ln.weight',
  'attention.output.weight': 'attn.out_proj.weight',
  'feedForward.norm.weight': 'ffn.layer_norm_weight',
  'feedForward.norm.bias': 'ffn.layer_norm_bias',
  'feedForward.up.weight': 'ffn.fc1_weight',
  'feedForward.down.weight': 'ffn.fc2_weight',
};

/** Parts of the released names, and what Hugging Face's layout calls them. */
const RELEASED: [RegExp, string][] = [
  [/^(?=(embed|transformer)\.)/, 'esmc.'],
  [/^sequence_head\./, 'lm_head.'],
  [/\.layernorm_qkv\.0\./, '.layernorm_qkv.layer_norm_'],
  [/\.layernorm_qkv\.1\./, '.layernorm_qkv.'],
  [/\.ffn\.0\./, '.ffn.layer_norm_'],
  [/\.ffn\.1\./, '.ffn.fc1_'],
  [/\.ffn\.3\./, '.ffn.fc2_'],
];
