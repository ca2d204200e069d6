import type { Random } from '../data/random.js';
import type { Architecture } from './architecture.js';
import type { Attention } from './attention/attention.js';

/** One tensor of a model: what it is called, its shape, and how a new one begins. */
export interface ParameterSpec {
  name: string;
  shape: number[];
  /** How many matrices of equal shape are stacked in it along the first axis: queries, keys and values. */
  parts: number;
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

/** All tensors of a model with an attention, in the order of its computation. */
export function parameterSpecs(architecture: Architecture, attention: Attention): ParameterSpec[] {
  const { hidden, inner, vocabulary, heads, biases, normBias } = architecture;
  const size = hidden / heads;
  const specs: ParameterSpec[] = [];
  const add = (
    name: string,
    shape: number[],
    initialise: ParameterSpec['initialise'],
    rest: Partial<ParameterSpec> = {},
  ) => specs.push({ name, shape, initialise, parts: 1, trainable: true, optional: false, ...rest });
  const dense = (name: string, outputs: number, inputs: number, bias: boolean, parts = 1) => {
    // Glorot & Bengio 2010, equation 12, for each part by itself.
    const deviation = Math.sqrt(2 / (outputs / parts + inputs));
    add(`${name}.weight`, [outputs, inputs], gaussian(outputs * inputs, deviation), { parts });
    if (bias) {
      add(`${name}.bias`, [outputs], constant(outputs, 0), { parts });
    }
  };
  const norm = (name: string, bias: boolean) => {
    add(`${name}.weight`, [hidden], constant(hidden, 1));
    if (bias) {
      add(`${name}.bias`, [hidden], constant(hidden, 0));
    }
  };

  add('embeddings.word', [vocabulary, hidden], (random) => {
    const table = gaussian(vocabulary * hidden, DEVIATION)(random);
    table.fill(0, architecture.padId * hidden, (architecture.padId + 1) * hidden);
    return table;
  });
  if (architecture.positions === 'absolute') {
    const rows = architecture.positionRows;
    add('embeddings.position', [rows, hidden], () => sinusoids(rows, hidden, architecture.padId + 1));
  } else {
    add('rotary.inverseFrequencies', [size / 2], () => inverseFrequencies(size, architecture.rotaryBase), {
      trainable: false,
      optional: true,
    });
  }
  if (architecture.embeddingNorm) {
    norm('embeddings.norm', normBias.blocks);
  }
  for (let i = 0; i < architecture.layers; i++) {
    const layer = `layers.${i}`;
    norm(`${layer}.attention.norm`, normBias.blocks);
    const parts = attention.sharedQueryKey ? 2 : 3;
    dense(`${layer}.attention.qkv`, parts * hidden, hidden, biases.attention, parts);
    if (architecture.queryKeyNorm) {
      norm(`${layer}.attention.queryNorm`, false);
      norm(`${layer}.attention.keyNorm`, false);
    }
    for (const { name, shape, trainable, random, initialise } of attention.parameters) {
      add(`${layer}.attention.${name}`, shape, initialise, { trainable, random });
    }
    dense(`${layer}.attention.output`, hidden, hidden, biases.attention);
    norm(`${layer}.feedForward.norm`, normBias.blocks);
    const gates = architecture.feedForward === 'swiglu' ? 2 : 1;
    dense(`${layer}.feedForward.up`, gates * inner, hidden, biases.feedForward, gates);
    dense(`${layer}.feedForward.down`, hidden, inner, biases.feedForward);
  }
  if (architecture.lastNorm) {
    norm('norm', normBias.last);
  }
  if (architecture.head === 'esm') {
    dense('head.dense', hidden, hidden, true);
    norm('head.norm', true);
  }
  if (architecture.head !== 'none') {
    if (!architecture.tied) {
      add('head.decoder', [vocabulary, hidden], gaussian(vocabulary * hidden, DEVIATION));
    }
    add('head.bias', [vocabulary], constant(vocabulary, 0));
  }
  if (architecture.classifier) {
    const { of, labels } = architecture.classifier;
    const first = specs.length;
    if (of === 'sequence') {
      dense('classifier.dense', hidden, hidden, true);
    }
    dense(of === 'sequence' ? 'classifier.output' : 'tokenClassifier', labels.length, hidden, true);
    // Trained already, and no part of what pretraining and other heads train.
    for (const spec of specs.slice(first)) {
      spec.trainable = false;
    }
  }
  const contacts = { trainable: false, optional: true };
  add('contacts.weight', [1, architecture.layers * heads], undefined, contacts);
  add('contacts.bias', [1], undefined, contacts);
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

/** Angles per position of rotary embeddings: base^(-2i/d) for i < d/2 (Su et al. 2021, equation 15: 10000). */
function inverseFrequencies(size: number, base: number): Float32Array {
  return Float32Array.from({ length: size / 2 }, (_, i) => base ** ((-2 * i) / size));
}
