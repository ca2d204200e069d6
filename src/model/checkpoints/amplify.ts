import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Alphabet } from '../../data/alphabet.js';
import { InputError } from '../../data/errors.js';
import { ESM_SKELETON } from '../architecture.js';
import { completeAttention, EXACT_ATTENTION } from '../attention/index.js';
import type { AttentionConfig } from '../attention/options.js';
import { checkConfig, type ModelConfig } from '../config.js';
import { layerName } from './esm.js';
import type { CheckpointFamily } from './family.js';
import { checkFields, type FieldRules } from './fields.js';

const TOKENIZER = 'tokenizer.json';

/** What else config.json says of AMPLIFY's network, beside sizes. */
type AmplifyConfig = ModelConfig & {
  rms_norm: boolean;
  layer_norm_after_embedding: boolean;
  layer_norm_before_last_layer: boolean;
  att_bias: boolean;
  ffn_bias: boolean;
};

const FIELDS: FieldRules = {
  used: [
    'att_bias',
    'attention',
    'attention_probs_dropout_prob',
    'dropout_prob',
    'emb_layer_norm_before',
    'ffn_bias',
    'hidden_act',
    'hidden_dropout_prob',
    'hidden_size',
    'intermediate_size',
    'layer_norm_after_embedding',
    'layer_norm_before_last_layer',
    'layer_norm_eps',
    'max_length',
    'max_position_embeddings',
    'norm_eps',
    'num_attention_heads',
    'num_hidden_layers',
    'rms_norm',
    'vocab_size',
  ],
  only: { position_embedding_type: ['"rotary"'], tie_word_embeddings: ['false'], token_dropout: ['false'] },
  inert: ['decoder_init_range', 'embedding_init_range', 'padded_vocab_size', 'vocab_path'],
};

/** AMPLIFY (Fournier et al. 2024): RMSNorm, SwiGLU, interleaved rotary positions, a linear decoder, its own vocabulary. */
export const amplify: CheckpointFamily = {
  modelTypes: ['AMPLIFY'],

  readConfig(fields, where) {
    checkFields(fields, FIELDS, where);
    const { hidden_act: activation = 'SwiGLU', pad_token_id: pad = 0, max_length: length = 2048 } = fields;
    if (String(activation).toLowerCase() !== 'swiglu') {
      throw new InputError(`${where}: hidden_act is ${JSON.stringify(activation)}: it must be "SwiGLU"`);
    }
    const config = {
      rms_norm: true,
      layer_norm_after_embedding: false,
      layer_norm_before_last_layer: true,
      att_bias: false,
      ffn_bias: false,
      pad_token_id: 0,
      mask_token_id: 2,
      attention_probs_dropout_prob: 0,
      ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)),
      model_type: 'AMPLIFY',
      hidden_dropout_prob: fields.hidden_dropout_prob ?? fields.dropout_prob ?? 0,
      max_position_embeddings: fields.max_position_embeddings ?? Number(length) + Number(pad) + 1,
      layer_norm_eps: fields.norm_eps ?? 1e-5,
      position_embedding_type: 'rotary',
      emb_layer_norm_before: fields.layer_norm_after_embedding ?? false,
      token_dropout: false,
      tie_word_embeddings: false,
      attention: completeAttention({
        kind: EXACT_ATTENTION,
        ...(fields.attention as Partial<AttentionConfig> | undefined),
      }),
    } as AmplifyConfig;
    checkConfig(config, where);
    return config;
  },

  writeConfig: ({ hidden_dropout_prob, layer_norm_eps, ...config }) => ({
    ...config,
    hidden_dropout_prob,
    dropout_prob: hidden_dropout_prob,
    norm_eps: layer_norm_eps,
  }),

  architecture(config) {
    const { rms_norm: rms, att_bias, ffn_bias, layer_norm_before_last_layer } = config as AmplifyConfig;
    return {
      ...ESM_SKELETON,
      tokens: config.vocab_size,
      vocabulary: config.vocab_size,
      layers: config.num_hidden_layers,
      hidden: config.hidden_size,
      heads: config.num_attention_heads,
      // Two thirds of what an ungated network would have, in steps of 8.
      inner: 8 * Math.ceil(Math.floor((2 * config.intermediate_size) / 3) / 8),
      dropout: config.hidden_dropout_prob,
      norm: rms ? 'rms' : 'layer',
      normEpsilon: config.layer_norm_eps,
      normBias: { blocks: !rms, last: !rms },
      lastNorm: layer_norm_before_last_layer,
      feedForward: 'swiglu',
      biases: { attention: att_bias, feedForward: ffn_bias },
      positions: 'rotary-interleaved',
      positionRows: config.max_position_embeddings,
      padId: config.pad_token_id,
      maskId: config.mask_token_id,
      embeddingNorm: config.emb_layer_norm_before,
      tokenDropout: false,
      head: 'linear',
      tied: false,
    };
  },

  tensorsOf({ name, parts }) {
    const { layer, rest } = layerName(name);
    const [, part, kind = ''] = /^(.*?)(\.weight|\.bias)?$/.exec(layer === undefined ? name : rest)!;
    if (layer === undefined) {
      return [MODEL[name] ?? (MODEL[part] ? `${MODEL[part]}${kind}` : name)];
    }
    const at = `transformer_encoder.${layer}`;
    if (part === 'attention.qkv') {
      return (parts === 2 ? ['q', 'v'] : ['q', 'k', 'v']).map((one) => `${at}.${one}${kind}`);
    }
    return [`${at}.${LAYER[part] ? `${LAYER[part]}${kind}` : rest}`];
  },

  async readVocabulary(folder) {
    const path = join(folder, TOKENIZER);
    if (!existsSync(path)) {
      throw new InputError(`${path}: no such file, which says what the tokens of AMPLIFY are; get it too`);
    }
    const { model, added_tokens: added = [] } = JSON.parse(await readFile(path, 'utf8')) as Tokenizer;
    const ids = new Map([
      ...added.map(({ content, id }): [string, number] => [content, id]),
      ...Object.entries(model.vocab),
    ]);
    const tokens = [...ids].sort(([, a], [, b]) => a - b).map(([token]) => (token === BEGIN ? '<cls>' : token));
    return new Alphabet(tokens, path);
  },

  vocabularyFiles({ tokens }) {
    const own = tokens.map((token) => (token === '<cls>' ? BEGIN : token));
    const vocab = Object.fromEntries(own.map((token, id) => [token, id]));
    const added_tokens = own.flatMap((content, id) =>
      /^<.*>$|^\|$/.test(content) ? [{ id, content, special: true }] : [],
    );
    const model = {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '',
      max_input_chars_per_word: 100,
    };
    return { [TOKENIZER]: `${JSON.stringify({ version: '1.0', added_tokens, model: { ...model, vocab } })}\n` };
  },
};

/** What begins a sequence, in place of <cls>. */
const BEGIN = '<bos>';

interface Tokenizer {
  added_tokens?: { id: number; content: string }[];
  model: { vocab: Record<string, number> };
}

const MODEL: Record<string, string> = {
  'embeddings.word': 'encoder.weight',
  'embeddings.norm': 'layer_norm_1',
  norm: 'layer_norm_2',
  'head.decoder': 'decoder.weight',
  'head.bias': 'decoder.bias',
};

const LAYER: Record<string, string> = {
  'attention.norm': 'attention_norm',
  'attention.output': 'wo',
  'feedForward.norm': 'ffn_norm',
  'feedForward.up': 'ffn.w12',
  'feedForward.down': 'ffn.w3',
};
