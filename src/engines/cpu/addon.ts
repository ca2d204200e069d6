import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** An array that goes to the addon: its elements, several of them, or nothing. */
export type NativeArray = Float32Array | Int32Array | Uint8Array | Float32Array[] | undefined;

type Call = (sizes: Float64Array, ...arrays: NativeArray[]) => void;

/**
 * What the C++ addon exports. Whatever computes takes one array of sizes and attributes (true and false are 1 and 0),
 * then its arrays, contiguous and row-major. The functions in native/*_node.cc say in which order; those of src/ops take
 * the arrays of their contracts. Wrong arguments throw a RangeError and leave every array unchanged.
 */
export interface Addon {
  /** A block of memory aligned to a cache line, uninitialised; null when there is none left. */
  allocate(bytes: number): ArrayBuffer | null;
  /** Gives a block back to the system and detaches it. */
  release(buffer: ArrayBuffer): void;

  /** Bytes that kernels work in, beside their arrays. */
  scratchBytes(): number;
  /** The most that they may take; a call that needs more throws an `OutOfMemory`. */
  setScratchLimit(bytes: number): void;

  /** Threads that kernels use, the calling one included. */
  threads(): number;
  setThreads(count: number): void;
  /** `avx512`, `avx2` or `sse2` on x86-64, `neon` on arm64. */
  instructionSet(): string;
  /** Takes a lesser set than the processor has: for tests. */
  setInstructionSet(name: string): void;

  // Those of src/ops.
  adamW: Call;
  crossEntropy: Call;
  crossEntropyGrad: Call;
  favorRelu: Call;
  favorReluGrad: Call;
  favorSoftmax: Call;
  favorSoftmaxGrad: Call;
  gatherRows: Call;
  gatherRowsGrad: Call;
  layerNorm: Call;
  layerNormGrad: Call;
  linear: Call;
  linearGrad: Call;
  lshAttention: Call;
  lshAttentionGrad: Call;
  rotary: Call;
  softmaxAttention: Call;
  softmaxAttentionGrad: Call;
  tokenEmbedding: Call;
  tokenEmbeddingGrad: Call;

  // tfjs's own.
  binary: Call;
  copyStrided: Call;
  cumulativeSum: Call;
  /** gemm.ts lays its sizes out. */
  gemm: Call;
  /** identityCounts.ts lays its rows out. */
  identityCounts: Call;
  reduce: Call;
  softmax: Call;
  unary: Call;
}

/** What a call throws that has no room to work in, before it has changed anything in place. */
export interface OutOfMemory extends Error {
  code: 'OUT_OF_MEMORY';
  /** How many it needed. */
  bytes: number;
}

/** The functions of the addon that compute. */
export type NativeCall = { [Name in keyof Addon]: Addon[Name] extends Call ? Name : never }[keyof Addon];

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
 * Loads the addon: the file that PROTEIN_LM_ADDON names, else a prebuilt one for this platform, else the one that
 * `npm ci` built.
 * Throws an Error that says what is missing and which command builds it.
 */
export function loadAddon(): Addon {
  if (loaded) {
    return loaded;
  }
  const root = packageRoot();
  const places = [
    ...(process.env.PROTEIN_LM_ADDON ? [process.env.PROTEIN_LM_ADDON] : []),
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
