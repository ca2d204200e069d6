import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

type Floats = Float32Array;
type OptionalFloats = Float32Array | undefined;

/**
 * What the C++ addon exports. Wrong arguments throw a RangeError and leave every array unchanged.
 * Arrays are contiguous and row-major; outputs come last. qkv is [batch, length, 3, heads, headSize].
 */
export interface Addon {
  /** A block of memory aligned to a cache line, uninitialised; null when there is none left. */
  allocate(bytes: number): ArrayBuffer | null;
  /** Gives a block back to the system and detaches it. */
  release(buffer: ArrayBuffer): void;

  /** Threads that kernels use, the calling one included. */
  threads(): number;
  setThreads(count: number): void;
  /** `avx512`, `avx2` or `sse2` on x86-64, `neon` on arm64. */
  instructionSet(): string;
  /** Takes a lesser set than the processor has: for tests. */
  setInstructionSet(name: string): void;
  /** Use {@link import('./gemm.js').gemm}, which lays `shape` out. */
  gemm(
    shape: Float64Array,
    alpha: number,
    a: Float32Array,
    b: Float32Array,
    c: Float32Array,
    bias: Float32Array | undefined,
    preActivation: Float32Array | undefined,
    residual: Float32Array | undefined,
    rowSumsA: Float32Array | undefined,
  ): void;
  /** Use {@link import('./identityCounts.js').identityCounts}, which lays the rows out. */
  identityCounts(
    depth: number,
    stride: number,
    a: Uint8Array,
    b: Uint8Array,
    needed: Int32Array,
    counts: Int32Array,
  ): void;
  /** y [rows, outputs] = x [rows, inputs] wᵀ + b, through gelu, which leaves the sum in preActivation. */
  linear(
    rows: number,
    inputs: number,
    outputs: number,
    x: Floats,
    w: Floats,
    b: OptionalFloats,
    gelu: boolean,
    y: Floats,
    preActivation: OptionalFloats,
  ): void;
  /** With a preActivation, dy goes through gelu's gradient into room [rows, outputs] first. */
  linearGrad(
    rows: number,
    inputs: number,
    outputs: number,
    dy: Floats,
    x: Floats,
    w: Floats,
    preActivation: OptionalFloats,
    room: OptionalFloats,
    dx: OptionalFloats,
    dw: OptionalFloats,
    db: OptionalFloats,
  ): void;
  layerNorm(
    rows: number,
    width: number,
    x: Floats,
    residual: OptionalFloats,
    gamma: Floats,
    beta: Floats,
    epsilon: number,
    dropoutRate: number,
    dropoutSeed: number,
    sum: OptionalFloats,
    normed: Floats,
    mean: Floats,
    reciprocal: Floats,
  ): void;
  /** `x`: the forward's sum, or its x without a residual. */
  layerNormGrad(
    rows: number,
    width: number,
    dsum: OptionalFloats,
    dnormed: Floats,
    x: Floats,
    gamma: Floats,
    mean: Floats,
    reciprocal: Floats,
    dropoutRate: number,
    dropoutSeed: number,
    dx: Floats,
    dresidual: OptionalFloats,
    dgamma: Floats,
    dbeta: Floats,
  ): void;
  tokenEmbedding(
    batch: number,
    length: number,
    width: number,
    vocabulary: number,
    positions: number,
    padId: number,
    maskId: number,
    tokenDropout: boolean,
    ids: Int32Array,
    word: Floats,
    position: OptionalFloats,
    x: Floats,
  ): void;
  tokenEmbeddingGrad(
    batch: number,
    length: number,
    width: number,
    vocabulary: number,
    positions: number,
    padId: number,
    maskId: number,
    tokenDropout: boolean,
    ids: Int32Array,
    dy: Floats,
    dword: Floats,
    dposition: OptionalFloats,
  ): void;
  rotary(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    inverse: boolean,
    qkv: Floats,
    inverseFrequencies: Floats,
    y: Floats,
  ): void;
  /** denominators [batch, heads, length] are for the gradient. */
  favorRelu(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    features: number,
    epsilon: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    projection: OptionalFloats,
    out: Floats,
    denominators: Floats,
  ): void;
  favorReluGrad(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    features: number,
    epsilon: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    projection: OptionalFloats,
    dy: Floats,
    out: Floats,
    denominators: Floats,
    dqkv: Floats,
  ): void;
  /** denominators [batch, heads, length], peaks [batch, heads] and places [batch, heads, 2] are for the gradient. */
  favorSoftmax(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    features: number,
    epsilon: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    projection: Floats,
    out: Floats,
    denominators: Floats,
    peaks: Floats,
    places: Int32Array,
  ): void;
  favorSoftmaxGrad(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    features: number,
    epsilon: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    projection: Floats,
    dy: Floats,
    out: Floats,
    denominators: Floats,
    dqkv: Floats,
    peaks: Floats,
    places: Int32Array,
  ): void;
  /** logsumexp [batch, heads, length] is for the gradient. */
  softmaxAttention(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    out: Floats,
    logsumexp: Floats,
  ): void;
  softmaxAttentionGrad(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    dy: Floats,
    out: Floats,
    logsumexp: Floats,
    dqkv: Floats,
  ): void;
  /**
   * rotations [hashes, rotationsPerHash, headSize]. order [batch, heads, hashes, length], peaks and totals
   * [batch, heads, length] are for the gradient.
   */
  lshAttention(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    hashes: number,
    chunkLength: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    rotationsPerHash: number,
    rotations: Floats,
    out: Floats,
    order: Int32Array,
    peaks: Floats,
    totals: Floats,
  ): void;
  lshAttentionGrad(
    batch: number,
    length: number,
    heads: number,
    headSize: number,
    hashes: number,
    chunkLength: number,
    causal: boolean,
    qkv: Floats,
    keep: Floats,
    dy: Floats,
    out: Floats,
    order: Int32Array,
    peaks: Floats,
    totals: Floats,
    dqkv: Floats,
  ): void;
  gatherRows(rows: number, count: number, width: number, x: Floats, indices: Int32Array, y: Floats): void;
  gatherRowsGrad(rows: number, count: number, width: number, dy: Floats, indices: Int32Array, dx: Floats): void;
  /** logsumexp [rows] is for the gradient. */
  crossEntropy(
    rows: number,
    classes: number,
    logits: Floats,
    labels: Int32Array,
    weights: Floats,
    loss: Floats,
    correct: Floats,
    logsumexp: Floats,
  ): void;
  crossEntropyGrad(
    rows: number,
    classes: number,
    dloss: Floats,
    logits: Floats,
    labels: Int32Array,
    weights: Floats,
    logsumexp: Floats,
    dlogits: Floats,
  ): void;
  /** hyper: learning rate, 1 - β₁ᵗ, 1 - β₂ᵗ. Parameters and moments change in place; norm [1] is written. */
  adamW(
    hyper: Floats,
    beta1: number,
    beta2: number,
    epsilon: number,
    maxNorm: number,
    weightDecay: Floats,
    parameters: Floats[],
    firstMoments: Floats[],
    secondMoments: Floats[],
    gradients: Floats[],
    norm: Floats,
  ): void;
  /** y = x over an array of `shape`, each with an offset and strides in elements. */
  copyStrided(
    shape: Float64Array,
    x: Floats,
    xOffset: number,
    xStrides: Float64Array,
    y: Floats,
    yOffset: number,
    yStrides: Float64Array,
  ): void;
  /** y, contiguous, = a op b; strides of 0 repeat, the last ones are 0 or 1. `operation`: see kernels/binary.ts. */
  binary(
    operation: number,
    shape: Float64Array,
    a: Floats,
    aStrides: Float64Array,
    b: Floats,
    bStrides: Float64Array,
    y: Floats,
  ): void;
  /** `operation`: see kernels/unary.ts. */
  unary(operation: number, x: Floats, y: Floats): void;
  /** y [outer, inner] = scale times x [outer, n, inner] reduced over n. `operation`: see kernels/reduce.ts. */
  reduce(operation: number, outer: number, n: number, inner: number, x: Floats, y: Floats, scale: number): void;
  softmax(rows: number, n: number, x: Floats, y: Floats): void;
  cumulativeSum(
    outer: number,
    n: number,
    inner: number,
    x: Floats,
    y: Floats,
    exclusive: boolean,
    reverse: boolean,
  ): void;
}

const FILE = 'protein_lm_cpu.node';
const require = createRequire(import.meta.url);

/** The package's folder: the nearest one above this file that has a package.json, from src as from dist. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) {
    folder = dirname(folder);
  }
  return folder;
}

let loaded: Addon | undefined;

/**
 * Loads the addon: a prebuilt one for this platform, else the one that `npm ci` built.
 * Throws an Error that says what is missing and which command builds it.
 */
export function loadAddon(): Addon {
  if (loaded) {
    return loaded;
  }
  const root = packageRoot();
  const places = [
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, FILE),
    join(root, 'build', 'Release', FILE),
  ];
  const path = places.find((place) => existsSync(place));
  if (!path) {
    throw new Error(
      `the native CPU engine is not built (no ${FILE} in ${root}): install g++ or clang, then run npm rebuild protein-lm (in a checkout: npm run build:addon)`,
    );
  }
  loaded = require(path) as Addon;
  return loaded;
}
