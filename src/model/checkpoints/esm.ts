import { ALPHABET_NAMES } from '../../data/alphabet.js';
import { MODEL_WARNING } from '../../data/warnings.js';
import { type Architecture, ESM_SKELETON } from '../architecture.js';
import { attentionKind, completeAttention, EXACT_ATTENTION } from '../attention/index.js';
import type { AttentionConfig } from '../attention/options.js';
import { alphabetFields, checkConfig, type ModelConfig, modelType } from '../config.js';
import type { CheckpointFamily } from './family.js';
import { checkFields, type FieldRules } from './fields.js';

/** Hugging Face's ESM (ESM-1b, ESM-1v, ESM-2), and our own models, which differ from it in `attention` alone. */
export const esm: CheckpointFamily = {
  modelTypes: ['performer', 'esm'],

  /** Fields that are left out take Hugging Face's defaults, and without `attention` it is exact attention. */
  readConfig(fields, where) {
    checkFields(fields, ESM_FIELDS, where);
    const alphabet = ALPHABET_NAMES.find((known) => known === fields.alphabet);
    // Before they were in transformers, ESM's uploads said what token dropout keeps, and meant that there is some.
    const assumed = fields.token_dropout === undefined && typeof fields.encoder_keep_prob === 'number';
    if (assumed) {
      process.emitWarning(
        `${where}: encoder_keep_prob is ${fields.encoder_keep_prob} and token_dropout is missing: ` +
          'taken as "token_dropout": true, as ESM-1b and ESM-1v were trained; write it there where that is wrong',
        MODEL_WARNING,
      );
    }
    const config = {
      model_type: 'esm',
      ...alphabetFields(alphabet),
      hidden_dropout_prob: 0.1,
      attention_probs_dropout_prob: 0.1,
      layer_norm_eps: 1e-12,
      position_embedding_type: 'absolute',
      tie_word_embeddings: true,
      emb_layer_norm_before: false,
      token_dropout: assumed,
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
    tokens: config.vocab_size,
    vocabulary: config.vocab_size,
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    heads: config.num_attention_heads,
    inner: config.intermediate_size,
    dropout: config.hidden_dropout_prob,
    normEpsilon: config.layer_norm_eps,
    positions: config.position_embedding_type === 'absolute' ? 'absolute' : 'rotary-halves',
    positionRows: config.max_position_embeddings,
    rotaryBase: config.rope_theta ?? ESM_SKELETON.rotaryBase,
    padId: config.pad_token_id,
    maskId: config.mask_token_id,
    embeddingNorm: config.emb_layer_norm_before,
    tokenDropout: config.token_dropout,
    head: HEADLESS.test(config.architectures?.[0] ?? '') ? 'none' : 'esm',
    tied: config.tie_word_embeddings,
    classifier: classifierOf(config),
  }),

  tensorsOf({ name, parts }) {
    const { layer: index, rest } = layerName(name);
    if (index === undefined) {
      return withKind(MODEL, name);
    }
    if (!Object.keys(LAYER).some((part) => rest.startsWith(`${part}.`))) {
      // An attention's own.
      return [`esm.encoder.layer.${index}.attention.self.${rest.slice('attention.'.length)}`];
    }
    const names = withKind(LAYER, rest);
    // Queries that are keys as well are stored once.
    return (parts === 2 ? [names[0], names[2]] : names).map((part) => `esm.encoder.layer.${index}.${part}`);
  },

  view: (name) => [{ name: plainName(name) }],

  placeholder: ({ name, shape }, { attention }) =>
    name.startsWith('contacts.') && attentionKind(attention.kind).exact
      ? new Float32Array(shape.reduce((product, n) => product * n, 1))
      : undefined,

  /** What Hugging Face's AutoTokenizer asks for beside vocab.txt. */
  vocabularyFiles(alphabet) {
    const special = { cls: '<cls>', pad: '<pad>', eos: '<eos>', unk: '<unk>', mask: '<mask>' } as const;
    const flags = { lstrip: false, normalized: false, rstrip: false, single_word: false, special: true };
    const added = Object.entries(special).map(([name, content]): [number, object] => [
      alphabet[name as keyof typeof special],
      { content, ...flags },
    ]);
    const tokens = Object.entries(special).map(([name, content]) => [`${name}_token`, content]);
    const fields = {
      added_tokens_decoder: Object.fromEntries(added.sort(([a], [b]) => a - b)),
      ...Object.fromEntries(tokens),
      tokenizer_class: 'EsmTokenizer',
    };
    return { 'tokenizer_config.json': `${JSON.stringify(fields, null, 2)}\n` };
  },
};

/** What ESM's configurations are read for. */
export const ESM_FIELDS: FieldRules = {
  used: [
    'alphabet',
    'attention',
    'attention_probs_dropout_prob',
    'emb_layer_norm_before',
    'encoder_keep_prob',
    'hidden_dropout_prob',
    'hidden_size',
    'intermediate_size',
    'layer_norm_eps',
    'max_position_embeddings',
    'num_attention_heads',
    'num_hidden_layers',
    'position_embedding_type',
    'rope_theta',
    'tie_word_embeddings',
    'token_dropout',
    'vocab_size',
  ],
  only: { hidden_act: ['"gelu"'] },
};

/**
 * A tensor's name as transformers 4 has it. Others leave out the model's prefix (EsmModel) or put one more before it
 * (DPLM's training runs), call a LayerNorm's weight and bias gamma and beta, and repeat the frequencies in each layer
 * (transformers 5 literally in `layer.*`).
 */
function plainName(name: string): string {
  return name
    .replace(/^(net|model)\.(?=esm\.|lm_head\.)/, '')
    .replace(/^(?=(embeddings|encoder|rotary_embeddings|contact_head)\.)/, 'esm.')
    .replace(/LayerNorm\.gamma$/, 'LayerNorm.weight')
    .replace(/LayerNorm\.beta$/, 'LayerNorm.bias')
    .replace(/^esm\.encoder\.layer\.(\d+|\*)\.attention\.self\.(?=rotary_embeddings\.inv_freq$)/, 'esm.');
}

/** The head of Hugging Face's EsmForSequenceClassification and EsmForTokenClassification. */
function classifierOf(config: ModelConfig & { id2label?: Record<string, string>; num_labels?: number }) {
  const found = /For(Sequence|Token)Classification$/.exec(config.architectures?.[0] ?? '');
  if (!found) {
    return undefined;
  }
  const names = config.id2label ?? {};
  const count = Object.keys(names).length || (config.num_labels ?? 2);
  const labels = Array.from({ length: count }, (_, i) => names[i] ?? `LABEL_${i}`);
  return { of: found[1].toLowerCase() as 'sequence' | 'token', labels };
}

/** Hugging Face's classes of models without a language-model head. */
const HEADLESS = /(Model|ForSequenceClassification|ForTokenClassification)$/;

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
  'classifier.dense': ['classifier.dense'],
  'classifier.output': ['classifier.out_proj'],
  tokenClassifier: ['classifier'],
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

/** A parameter's layer, and its name there; of one outside the layers its name alone. */
export function layerName(parameter: string): { layer?: string; rest: string } {
  const found = /^layers\.(\d+)\.(.+)$/.exec(parameter);
  return found ? { layer: found[1], rest: found[2] } : { rest: parameter };
}

/** A parameter's names by that of its part. */
function withKind(table: Record<string, string[]>, parameter: string): string[] {
  const [, part, kind = ''] = /^(.*?)(\.weight|\.bias)?$/.exec(parameter)!;
  return table[parameter] ?? table[part].map((name) => `${name}${kind}`);
}
