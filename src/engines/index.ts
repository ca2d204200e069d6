import { InputError } from '../data/errors.js';
import { cpu } from './cpu/index.js';
import { DEVICES, type Device, type Engine, type EngineKind, type EngineOptions, type EngineReport } from './engine.js';
import { tensorflow } from './tensorflow/index.js';
import { wasm } from './wasm/index.js';
import { webgpu } from './webgpu/index.js';

export { DEVICES, type Device, type Engine, type EngineOptions, type EngineReport } from './engine.js';

// In the order of `auto`'s preference.
const KINDS: EngineKind[] = [webgpu, cpu, tensorflow, wasm];

/**
 * Starts an engine and makes it tfjs's backend for the whole process.
 * @param device `auto` takes the first usable one of: a hardware GPU, cpu, wasm. The environment variable
 * PROTEIN_LM_DEVICE replaces `auto`.
 * @throws InputError where the device is unknown or cannot run here: why, and what to install
 */
export async function startEngine(device: Device | 'auto' = 'auto', options: EngineOptions = {}): Promise<Engine> {
  const wanted = device === 'auto' ? (process.env.PROTEIN_LM_DEVICE ?? 'auto') : device;
  if (wanted === 'auto') {
    return startAutomatic(options);
  }
  const kind = KINDS.find((candidate) => candidate.device === wanted);
  if (!kind) {
    throw new InputError(`unknown device '${wanted}': use auto, ${DEVICES.join(', ')}`);
  }
  return kind.start(options);
}

async function startAutomatic(options: EngineOptions): Promise<Engine> {
  const reasons: string[] = [];
  for (const kind of KINDS) {
    const report = await kind.probe();
    if (report.usable && report.automatic) {
      return kind.start(options);
    }
    reasons.push(`${kind.device}: ${report.reason ?? 'not taken by auto'}`);
  }
  throw new InputError(`no engine runs here (${reasons.join('; ')}): run protein-lm doctor`);
}

/** Looks at every engine, for `doctor`; starts none. */
export async function probeEngines(): Promise<EngineReport[]> {
  return Promise.all(KINDS.map((kind) => kind.probe()));
}
