import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the C++ addon exports. Wrong arguments throw a RangeError and leave every array unchanged. */
export interface Addon {
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
}

const FILE = 'protein_lm_cpu.node';
const require = createRequire(import.meta.url);

/** The package's folder: the nearest one above this file that has a package.json, from src as from dist. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

let loaded: Addon | undefined;

/**
 * Loads the addon: a prebuilt one for this platform, else the one that `npm ci` built.
 * Throws an Error that says what is missing and which command builds it.
 */
export function loadAddon(): Addon {
  if (loaded) return loaded;
  const root = packageRoot();
  const places = [
    join(root, 'prebuilds', `${process.platform}-${process.arch}`, FILE),
    join(root, 'build', 'Release', FILE),
  ];
  const path = places.find((place) => existsSync(place));
  if (!path) {
    throw new Error(
      `the native CPU engine is not built (no ${FILE} in ${root}): install g++ or clang, make and python3, then run npm rebuild protein-lm`,
    );
  }
  loaded = require(path) as Addon;
  return loaded;
}
