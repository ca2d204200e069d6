import type { ModelConfig } from '../config.js';
import { ESM_FIELDS, esm } from './esm.js';
import type { CheckpointFamily } from './family.js';
import { checkFields } from './fields.js';
import { firstRows, type TensorView } from './views.js';

/**
 * NVIDIA's ESM-2 for its Transformer Engine: queries, keys and values fused, by default head by head, the norms in the
 * layers that read them, the vocabulary padded. Saved as `esm`.
 */
export const nvEsm: CheckpointFamily = {
  ...esm,
  modelTypes: ['nv_esm'],

  readConfig(fields, where) {
    const architectures = (fields.architectures as string[] | undefined)?.map((name) => name.replace(/^NV/, ''));
    const own = { ...ESM_FIELDS.only, ...OWN_FIELDS };
    checkFields(fields, { ...ESM_FIELDS, used: [...ESM_FIELDS.used, ...LAYOUT_FIELDS], only: own }, where);
    const rest = Object.entries(fields).filter(
      ([name]) => ESM_FIELDS.used.includes(name) || TOKEN_FIELDS.includes(name),
    );
    const config = esm.readConfig({ ...Object.fromEntries(rest), architectures, model_type: 'esm' }, where);
    // How the file has them, for `view`; not written again.
    Object.defineProperty(config, INTERLEAVED, { value: fields.qkv_weight_interleaved ?? true });
    return config;
  },

  view(name, shape, config) {
    const layer = /^(?:model\.|esm\.)?encoder\.layers\.(\d+)\.(.+)$/.exec(name);
    if (layer) {
      const target = `esm.encoder.layer.${layer[1]}`;
      const fused = /^self_attention\.layernorm_qkv\.(weight|bias)$/.exec(layer[2]);
      return fused
        ? splitFused(shape, config).map(({ part, ...view }) => ({
            ...view,
            name: `${target}.attention.self.${part}.${fused[1]}`,
          }))
        : [{ name: `${target}.${PARTS[layer[2]] ?? layer[2]}` }];
    }
    const plain = name.replace(/^model\./, '').replace(/^(?=(embeddings|encoder)\.)/, 'esm.');
    const known = HEAD[plain] ?? plain;
    return /word_embeddings|decoder|^lm_head\.bias/.test(known)
      ? [firstRows(known, shape, config.vocab_size)]
      : [{ name: known }];
  },
};

/** Of config.json what the layout is about, or is not for other readers. */
/** Fields of how its training runs and how its files are laid out. */
const LAYOUT_FIELDS = [
  'attn_input_format',
  'max_batch_size',
  'max_seq_length',
  'micro_batch_size',
  'padded_vocab_size',
  'qkv_weight_interleaved',
];

const OWN_FIELDS = {
  attn_mask_type: ['"padding"'],
  encoder_activation: ['"gelu"'],
  fuse_qkv_params: ['true'],
};

const TOKEN_FIELDS = ['mask_token_id', 'pad_token_id'];

const INTERLEAVED = Symbol('qkv_weight_interleaved');

const HEAD: Record<string, string> = {
  'lm_head.decoder.layer_norm_weight': 'lm_head.layer_norm.weight',
  'lm_head.decoder.layer_norm_bias': 'lm_head.layer_norm.bias',
  'lm_head.decoder.bias': 'lm_head.bias',
};

const PARTS: Record<string, string> = {
  'self_attention.proj.weight': 'attention.output.dense.weight',
  'self_attention.proj.bias': 'attention.output.dense.bias',
  'self_attention.layernorm_qkv.layer_norm_weight': 'attention.LayerNorm.weight',
  'self_attention.layernorm_qkv.layer_norm_bias': 'attention.LayerNorm.bias',
  'self_attention.layernorm_qkv.query_weight': 'attention.self.query.weight',
  'self_attention.layernorm_qkv.query_bias': 'attention.self.query.bias',
  'self_attention.layernorm_qkv.key_weight': 'attention.self.key.weight',
  'self_attention.layernorm_qkv.key_bias': 'attention.self.key.bias',
  'self_attention.layernorm_qkv.value_weight': 'attention.self.value.weight',
  'self_attention.layernorm_qkv.value_bias': 'attention.self.value.bias',
  'layernorm_mlp.fc1_weight': 'intermediate.dense.weight',
  'layernorm_mlp.fc1_bias': 'intermediate.dense.bias',
  'layernorm_mlp.fc2_weight': 'output.dense.weight',
  'layernorm_mlp.fc2_bias': 'output.dense.bias',
  'layernorm_mlp.layer_norm_weight': 'LayerNorm.weight',
  'layernorm_mlp.layer_norm_bias': 'LayerNorm.bias',
};

/** Queries, keys and values out of [heads, 3, d] rows, or of [3, heads, d] where they are not interleaved. */
function splitFused(
  [rows, ...rest]: readonly number[],
  config: ModelConfig,
): (Omit<TensorView, 'name'> & { part: string })[] {
  const interleaved = (config as ModelConfig & { [INTERLEAVED]?: boolean })[INTERLEAVED];
  const width = rest.reduce((product, n) => product * n, 1);
  const groups = interleaved ? config.num_attention_heads : 1;
  const size = (rows / 3 / groups) * width;
  return ['query', 'key', 'value'].map((part, index) => ({
    part,
    shape: [rows / 3, ...rest],
    pick: (values) => {
      const picked = new Float32Array(values.length / 3);
      for (let group = 0; group < groups; group++) {
        const start = (3 * group + index) * size;
        picked.set(values.subarray(start, start + size), group * size);
      }
      return picked;
    },
  }));
}
