import { InputError } from '../data/errors.js';
import {
  DEVICES,
  type Device,
  type Engine,
  type EngineKind,
  type EngineOptions,
  type EngineReport,
  type Honours,
} from './engine.js';
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
export { runningEngine } from './running.js';

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
  return announce(await kind.start(options));
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
      return announce(await kind.start(options));
    }
    reasons.push(`${kind.device}: ${report.reason ?? refused ?? 'not taken by auto'}`);
  }
  throw new InputError(`no engine runs here (${reasons.join('; ')}): run protein-lm doctor`);
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
export type { Step, StepInput } from './steps.js';
