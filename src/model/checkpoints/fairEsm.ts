import type { Weights } from '../../formats/weights.js';
import { esm } from './esm.js';
import type { CheckpointFamily } from './family.js';

/** fair-esm's releases of ESM-1b, ESM-1v and ESM-2: one `.pt` with the model and its arguments. Saved as `esm`. */
export const fairEsm: CheckpointFamily = {
  ...esm,
  modelTypes: [],

  recognise(weights) {
    const embedding = shapeOf(weights, 'embed_tokens.weight');
    if (!embedding || !shapeOf(weights, 'layers.0.self_attn.q_proj.weight')) {
      return undefined;
    }
    const arguments_ = argumentsOf(weights);
    const positions = shapeOf(weights, 'embed_positions.weight');
    const rotary = weights.names.some((name) => name.endsWith('rot_emb.inv_freq')) || !positions;
    const layers = new Set(weights.names.flatMap((name) => /\blayers\.(\d+)\./.exec(name)?.[1] ?? []));
    return {
      model_type: 'esm',
      architectures: ['EsmForMaskedLM'],
      vocab_size: embedding[0],
      hidden_size: embedding[1],
      num_hidden_layers: layers.size,
      num_attention_heads: arguments_.encoder_attention_heads,
      intermediate_size: shapeOf(weights, 'layers.0.fc1.weight')?.[0],
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
      max_position_embeddings: positions?.[0] ?? 1026,
      layer_norm_eps: 1e-5,
      position_embedding_type: rotary ? 'rotary' : 'absolute',
      emb_layer_norm_before: shapeOf(weights, 'emb_layer_norm_before.weight') !== undefined,
      token_dropout: arguments_.token_dropout ?? true,
    };
  },

  view: (name) => [{ name: esmName(name) }],

  companions: (path) => [path.replace(/\.pt$/, '-contact-regression.pt')],
};

/** The arguments of the training run: ESM-2's in `cfg`, those before in `args`. */
function argumentsOf({ metadata }: Weights): Record<string, unknown> {
  const { args, cfg } = metadata as { args?: Record<string, unknown>; cfg?: { model?: Record<string, unknown> } };
  return cfg?.model ?? args ?? {};
}

const PREFIX = /^(encoder\.)?(sentence_encoder\.)?/;

function shapeOf(weights: Weights, wanted: string): readonly number[] | undefined {
  const name = weights.names.find((one) => one.replace(PREFIX, '') === wanted);
  return name === undefined ? undefined : weights.info(name)?.shape;
}

/** Parts of fair-esm's names, and what they are called in Hugging Face's. */
const PARTS: [RegExp, string][] = [
  [/^embed_tokens\./, 'esm.embeddings.word_embeddings.'],
  [/^embed_positions\./, 'esm.embeddings.position_embeddings.'],
  [/^emb_layer_norm_before\./, 'esm.embeddings.layer_norm.'],
  [/^emb_layer_norm_after\./, 'esm.encoder.emb_layer_norm_after.'],
  [/^contact_head\./, 'esm.contact_head.'],
  [/^layers\.\d+\.self_attn\.rot_emb\./, 'esm.rotary_embeddings.'],
  [/^lm_head\.weight$/, 'lm_head.decoder.weight'],
  [/^layers\.(\d+)\./, 'esm.encoder.layer.$1.'],
  [/\.self_attn\.q_proj\./, '.attention.self.query.'],
  [/\.self_attn\.k_proj\./, '.attention.self.key.'],
  [/\.self_attn\.v_proj\./, '.attention.self.value.'],
  [/\.self_attn\.out_proj\./, '.attention.output.dense.'],
  [/\.self_attn_layer_norm\./, '.attention.LayerNorm.'],
  [/\.final_layer_norm\./, '.LayerNorm.'],
  [/\.fc1\./, '.intermediate.dense.'],
  [/\.fc2\./, '.output.dense.'],
];

function esmName(name: string): string {
  return PARTS.reduce((text, [from, to]) => text.replace(from, to), name.replace(PREFIX, ''));
}
