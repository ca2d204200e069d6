/// <reference types="long" preserve="true" />
import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../data/errors.js';
import { declaredKernels } from '../ops/kernel.js';
import {
  DEVICES,
  type Device,
  type Engine,
  type EngineKind,
  type EngineOptions,
  type EngineReport,
  type Honours,
} from './engine.js';
import { hostKernels, registerHostFallback } from './hostFallback.js';
import { announce, runningEngine } from './running.js';

export {
  DEVICES,
  type Device,
  DeviceLostError,
  type Engine,
  type EngineMemory,
  type EngineOptions,
  type EngineReport,
  type Honours,
  type KernelTimes,
} from './engine.js';
export type { HostRuns } from './hostFallback.js';
export { runningEngine } from './running.js';
export type { Step, StepInput } from './steps.js';

// Imported when they are looked at: an engine's packages are heavy. In the order of `auto`'s preference.
const KINDS: Record<Device, () => Promise<EngineKind>> = {
  webgpu: async () => (await import('./webgpu/index.js')).webgpu,
  cpu: async () => (await import('./cpu/index.js')).cpu,
  tensorflow: async () => (await import('./tensorflow/index.js')).tensorflow,
  wasm: async () => (await import('./wasm/index.js')).wasm,
};

let starting: Promise<Engine> | undefined;

/**
 * Starts an engine and makes it tfjs's backend for the whole process.
 * @param device `auto` takes the first usable one of those that can honour the options: a hardware GPU, cpu, wasm. The
 * environment variable PROTEIN_LM_DEVICE replaces `auto`.
 * @throws InputError where the device is unknown or cannot run here: why, and what to install; or where it cannot
 * honour an option
 */
export async function startEngine(device: Device | 'auto' = 'auto', options: EngineOptions = {}): Promise<Engine> {
  const wanted = device === 'auto' ? (process.env.PROTEIN_LM_DEVICE ?? 'auto') : device;
  if (wanted === 'auto') {
    return startAutomatic(options);
  }
  if (!Object.hasOwn(KINDS, wanted)) {
    throw new InputError(`unknown device '${wanted}': use auto, ${DEVICES.join(', ')}`);
  }
  const kind = await KINDS[wanted as Device]();
  const refused = refusal(kind, options);
  if (refused) {
    throw new InputError(`--device ${wanted}: ${refused}; leave it out, or take another device`);
  }
  return begin(kind, options);
}

/** The engine that runs, or the default one, started now. */
export async function ensureEngine(): Promise<Engine> {
  const engine = runningEngine();
  if (engine) {
    return engine;
  }
  starting ??= startEngine().finally(() => {
    starting = undefined;
  });
  return starting;
}

async function startAutomatic(options: EngineOptions): Promise<Engine> {
  const reasons: string[] = [];
  for (const load of Object.values(KINDS)) {
    const kind = await load();
    const report = await kind.probe();
    const refused = refusal(kind, options);
    if (report.usable && report.automatic && !refused) {
      return begin(kind, options);
    }
    reasons.push(`${kind.device}: ${report.reason ?? refused ?? 'not taken by auto'}`);
  }
  throw new InputError(`no engine runs here (${reasons.join('; ')}): run protein-lm doctor`);
}

async function begin(kind: EngineKind, options: EngineOptions): Promise<Engine> {
  const engine = await kind.start(options);
  registerHostFallback(engine.backend, await hostBackend(), { ours: kind.bare });
  return announce(engine);
}

/** The backend that computes what others lack: the CPU engine's, else tfjs's in JavaScript. */
async function hostBackend(): Promise<string> {
  const kind = await KINDS.cpu();
  const ours = await kind.register();
  if (ours) {
    return ours;
  }
  await import('@tensorflow/tfjs-backend-cpu');
  // It would print a banner at its first tensor.
  (tf.findBackend('cpu') as { firstUse?: boolean }).firstUse = false;
  return 'cpu';
}

/** Why a kind of engine cannot honour the options; undefined where it can. */
function refusal({ honours }: EngineKind, { threads, precision, maxMemory }: EngineOptions): string | undefined {
  if (threads !== undefined && threads > honours.threads) {
    const most = honours.threads === 0 ? 'its threads cannot be set' : `it has at most ${honours.threads}`;
    return `it cannot honour --threads ${threads}: ${most}`;
  }
  if (precision !== undefined && precision !== 'auto' && !honours.precisions.includes(precision)) {
    return `it cannot honour --precision ${precision}: its matrix products are of ${honours.precisions.join(' or ')}`;
  }
  if (maxMemory !== undefined && !honours.maxMemory) {
    return 'it cannot honour maxMemory: it keeps no count of memory';
  }
  return undefined;
}

/** Looks at every engine, for `doctor`; starts none. */
export async function probeEngines(): Promise<(EngineReport & { honours: Honours })[]> {
  const kinds = await Promise.all(Object.values(KINDS).map((load) => load()));
  return Promise.all(kinds.map(async (kind) => ({ ...(await kind.probe()), honours: kind.honours })));
}

/** Where an engine computes a kernel: by one of its own, by the reference in tfjs's operations, or on the host. */
export type KernelSource = 'own' | 'reference' | 'host';

/**
 * Which engine has which kernel: those of src/ops, then those of tfjs that some engine lacks. Of an engine whose kernels
 * cannot be had here, nothing is told.
 */
export async function listKernels(): Promise<{ kernel: string; engines: Partial<Record<Device, KernelSource>> }[]> {
  const ours = declaredKernels().map(({ name }) => name);
  const host = await hostBackend();
  const names = new Set(tf.getKernelsForBackend(host).map(({ kernelName }) => kernelName));
  const rows = new Map<string, Partial<Record<Device, KernelSource>>>();
  const lacking = new Set<string>();
  for (const name of [...ours, ...names]) {
    rows.set(name, {});
  }
  for (const load of Object.values(KINDS)) {
    const kind = await load();
    const backend = await kind.register();
    if (!backend) {
      continue;
    }
    registerHostFallback(backend, host, { ours: kind.bare });
    const fromHost = new Set(hostKernels(backend));
    for (const [name, row] of rows) {
      const source = fromHost.has(name) ? 'host' : tf.getKernel(name, backend) ? 'own' : 'reference';
      // What tfjs has no kernel for anywhere else cannot be asked of this engine.
      if (source !== 'reference' || ours.includes(name)) {
        row[kind.device] = source;
      }
      if (source !== 'own') {
        lacking.add(name);
      }
    }
  }
  return [...rows]
    .filter(([name]) => ours.includes(name) || lacking.has(name))
    .map(([kernel, engines]) => ({ kernel, engines }));
}
