import { ALPHABET_NAMES } from '../../data/alphabet.js';
import { type Architecture, ESM_SKELETON } from '../architecture.js';
import { completeAttention, EXACT_ATTENTION } from '../attention/index.js';
import type { AttentionConfig } from '../attention/options.js';
import { alphabetFields, checkConfig, type ModelConfig, modelType } from '../config.js';
import type { CheckpointFamily } from './family.js';

/** Hugging Face's ESM (ESM-1b, ESM-1v, ESM-2), and our own models, which differ from it in `attention` alone. */
export const esm: CheckpointFamily = {
  modelTypes: ['performer', 'esm'],

  /** Fields that are left out take Hugging Face's defaults, and without `attention` it is exact attention. */
  readConfig(fields, where) {
    const alphabet = ALPHABET_NAMES.find((known) => known === fields.alphabet);
    const config = {
      model_type: 'esm',
      ...alphabetFields(alphabet),
      hidden_dropout_prob: 0.1,
      attention_probs_dropout_prob: 0.1,
      layer_norm_eps: 1e-12,
      position_embedding_type: 'absolute',
      tie_word_embeddings: true,
      emb_layer_norm_before: false,
      token_dropout: false,
      ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)),
      attention: completeAttention({
        kind: EXACT_ATTENTION,
        ...(fields.attention as Partial<AttentionConfig> | undefined),
      }),
    } as ModelConfig;
    checkConfig(config, where);
    return config;
  },

  writeConfig: (config) => ({ ...config, model_type: modelType(config.attention, 'config.json') }),

  architecture: (config): Architecture => ({
    ...ESM_SKELETON,
    vocabulary: config.vocab_size,
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    heads: config.num_attention_heads,
    inner: config.intermediate_size,
    dropout: config.hidden_dropout_prob,
    normEpsilon: config.layer_norm_eps,
    positions: config.position_embedding_type === 'absolute' ? 'absolute' : 'rotary-halves',
    positionRows: config.max_position_embeddings,
    padId: config.pad_token_id,
    maskId: config.mask_token_id,
    embeddingNorm: config.emb_layer_norm_before,
    tokenDropout: config.token_dropout,
    tied: config.tie_word_embeddings,
  }),

  tensorsOf({ name, parts }) {
    const layer = /^layers\.(\d+)\.(.+)$/.exec(name);
    if (!layer) {
      return withKind(MODEL, name);
    }
    const [, index, rest] = layer;
    if (!Object.keys(LAYER).some((part) => rest.startsWith(`${part}.`))) {
      // An attention's own.
      return [`esm.encoder.layer.${index}.attention.self.${rest.slice('attention.'.length)}`];
    }
    const names = withKind(LAYER, rest);
    // Queries that are keys as well are stored once.
    return (parts === 2 ? [names[0], names[2]] : names).map((part) => `esm.encoder.layer.${index}.${part}`);
  },

  canonical: (tensor) =>
    tensor.replace(/^esm\.encoder\.layer\.0\.attention\.self\.(?=rotary_embeddings\.inv_freq$)/, 'esm.'),
};

/** What the parts of a model are called in a checkpoint; `weight` and `bias` follow where ours have them. */
const MODEL: Record<string, string[]> = {
  'embeddings.word': ['esm.embeddings.word_embeddings.weight'],
  'embeddings.position': ['esm.embeddings.position_embeddings.weight'],
  'embeddings.norm': ['esm.embeddings.layer_norm'],
  'rotary.inverseFrequencies': ['esm.rotary_embeddings.inv_freq'],
  norm: ['esm.encoder.emb_layer_norm_after'],
  'head.dense': ['lm_head.dense'],
  'head.norm': ['lm_head.layer_norm'],
  'head.decoder': ['lm_head.decoder.weight'],
  'head.bias': ['lm_head.bias'],
  contacts: ['esm.contact_head.regression'],
};

const LAYER: Record<string, string[]> = {
  'attention.norm': ['attention.LayerNorm'],
  'attention.qkv': ['attention.self.query', 'attention.self.key', 'attention.self.value'],
  'attention.output': ['attention.output.dense'],
  'feedForward.norm': ['LayerNorm'],
  'feedForward.up': ['intermediate.dense'],
  'feedForward.down': ['output.dense'],
};

/** A parameter's names by that of its part. */
function withKind(table: Record<string, string[]>, parameter: string): string[] {
  const [, part, kind = ''] = /^(.*?)(\.weight|\.bias)?$/.exec(parameter)!;
  return table[parameter] ?? table[part].map((name) => `${name}${kind}`);
}
