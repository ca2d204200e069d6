import type { Random } from '../data/random.js';
import { createAttention } from './attention/index.js';
import type { ModelConfig } from './config.js';

/** One tensor of a model: what it is called inside and in a checkpoint, its shape, and how a new one begins. */
export interface ParameterSpec {
  name: string;
  shape: number[];
  /** Names in a checkpoint; several are stacked along the first axis (queries, keys and values). */
  checkpoint: string[];
  /** A name that other writers give it, read where the first is absent. */
  alias?: string;
  /** Whether training changes it. */
  trainable: boolean;
  /** Whether it is random by design, and may be drawn anew in training. */
  random?: boolean;
  /** Whether a checkpoint may lack it; the model then does without, or begins with `initialise`. */
  optional: boolean;
  /** Values of a new model's; undefined: a new model has none. */
  initialise?: (random: Random) => Float32Array;
}

// Standard deviation of new embeddings: Hugging Face's initializer_range.
const DEVIATION = 0.02;

/** All tensors of a model, in the order of its computation. */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const size = hidden / config.num_attention_heads;
  const specs: ParameterSpec[] = [];
  const add = (
    name: string,
    shape: number[],
    checkpoint: string[],
    initialise: ParameterSpec['initialise'],
    rest: Partial<ParameterSpec> = {},
  ) => specs.push({ name, shape, checkpoint, initialise, trainable: true, optional: false, ...rest });
  const dense = (name: string, outputs: number, inputs: number, checkpoint: string[]) => {
    const parts = (kind: string) => checkpoint.map((part) => `${part}.${kind}`);
    // Glorot & Bengio 2010, equation 12, for each part by itself.
    const deviation = Math.sqrt(2 / (outputs / checkpoint.length + inputs));
    add(`${name}.weight`, [outputs, inputs], parts('weight'), gaussian(outputs * inputs, deviation));
    add(`${name}.bias`, [outputs], parts('bias'), constant(outputs, 0));
  };
  const norm = (name: string, checkpoint: string) => {
    add(`${name}.weight`, [hidden], [`${checkpoint}.weight`], constant(hidden, 1));
    add(`${name}.bias`, [hidden], [`${checkpoint}.bias`], constant(hidden, 0));
  };

  add('embeddings.word', [vocabulary, hidden], ['esm.embeddings.word_embeddings.weight'], (random) => {
    const table = gaussian(vocabulary * hidden, DEVIATION)(random);
    table.fill(0, config.pad_token_id * hidden, (config.pad_token_id + 1) * hidden);
    return table;
  });
  if (config.position_embedding_type === 'absolute') {
    const rows = config.max_position_embeddings;
    add('embeddings.position', [rows, hidden], ['esm.embeddings.position_embeddings.weight'], () =>
      sinusoids(rows, hidden, config.pad_token_id + 1),
    );
  } else {
    const names = ['esm.rotary_embeddings.inv_freq'];
    add('rotary.inverseFrequencies', [size / 2], names, () => inverseFrequencies(size), {
      alias: 'esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq',
      trainable: false,
      optional: true,
    });
  }
  if (config.emb_layer_norm_before) {
    norm('embeddings.norm', 'esm.embeddings.layer_norm');
  }
  const { parameters: attentionParameters, sharedQueryKey } = createAttention(config);
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const layer = `layers.${i}`;
    const source = `esm.encoder.layer.${i}`;
    norm(`${layer}.attention.norm`, `${source}.attention.LayerNorm`);
    const parts = sharedQueryKey ? ['query', 'value'] : ['query', 'key', 'value'];
    const projections = parts.map((part) => `${source}.attention.self.${part}`);
    dense(`${layer}.attention.qkv`, parts.length * hidden, hidden, projections);
    for (const { name, shape, trainable, random, initialise } of attentionParameters) {
      add(`${layer}.attention.${name}`, shape, [`${source}.attention.self.${name}`], initialise, { trainable, random });
    }
    dense(`${layer}.attention.output`, hidden, hidden, [`${source}.attention.output.dense`]);
    norm(`${layer}.feedForward.norm`, `${source}.LayerNorm`);
    dense(`${layer}.feedForward.up`, inner, hidden, [`${source}.intermediate.dense`]);
    dense(`${layer}.feedForward.down`, hidden, inner, [`${source}.output.dense`]);
  }
  norm('norm', 'esm.encoder.emb_layer_norm_after');
  dense('head.dense', hidden, hidden, ['lm_head.dense']);
  norm('head.norm', 'lm_head.layer_norm');
  add('head.bias', [vocabulary], ['lm_head.bias'], constant(vocabulary, 0));
  const maps = config.num_hidden_layers * config.num_attention_heads;
  const contacts = { trainable: false, optional: true };
  add('contacts.weight', [1, maps], ['esm.contact_head.regression.weight'], undefined, contacts);
  add('contacts.bias', [1], ['esm.contact_head.regression.bias'], undefined, contacts);
  return specs;
}

function gaussian(count: number, deviation: number): (random: Random) => Float32Array {
  return (random) => Float32Array.from({ length: count }, () => deviation * random.normal());
}

function constant(count: number, value: number): () => Float32Array {
  return () => new Float32Array(count).fill(value);
}

/**
 * Sinusoids of position (Vaswani et al. 2017, section 3.5), scaled to the deviation of the token embeddings that they
 * are added to. Row `first` is position 0; rows before it are zero.
 */
function sinusoids(rows: number, width: number, first: number): Float32Array {
  const amplitude = DEVIATION * Math.SQRT2;
  const table = new Float32Array(rows * width);
  for (let row = first; row < rows; row++) {
    for (let i = 0; i < width; i++) {
      const angle = (row - first) / 10000 ** ((i - (i % 2)) / width);
      table[row * width + i] = amplitude * (i % 2 === 0 ? Math.sin(angle) : Math.cos(angle));
    }
  }
  return table;
}

/** Angles per position of rotary embeddings: 10000^(-2i/d) for i < d/2 (Su et al. 2021, equation 15). */
function inverseFrequencies(size: number): Float32Array {
  return Float32Array.from({ length: size / 2 }, (_, i) => 10000 ** ((-2 * i) / size));
}
