import * as tf from '@tensorflow/tfjs-core';
import { declaredKernels } from '../ops/kernel.js';
import type { KernelTimes } from './engine.js';

/** What a kernel that a backend lacks has cost so far, computed on the host. */
export interface HostRuns {
  kernel: string;
  runs: number;
  milliseconds: number;
  /** Downloaded and uploaded. */
  bytes: number;
}

// Their tensors are two, which no backend writes by itself; or they need a browser.
const EXCLUDED = new Set(['Complex', 'ComplexAbs', 'Draw', 'FFT', 'IFFT', 'Imag', 'Real']);

const counts = new Map<string, Map<string, HostRuns>>();

/** Kernels that were computed on the host for a backend, and how often: the slowest first. */
export function hostRuns(backendName: string): HostRuns[] {
  const runs = [...(counts.get(backendName)?.values() ?? [])].filter((entry) => entry.runs > 0);
  return runs.map((entry) => ({ ...entry })).sort((a, b) => b.milliseconds - a.milliseconds);
}

/** What the kernels that `compute` has run on the host have cost. */
export async function measureHostRuns(backendName: string, compute: () => Promise<unknown>): Promise<KernelTimes[]> {
  const before = new Map(hostRuns(backendName).map((entry) => [entry.kernel, entry]));
  await compute();
  return hostRuns(backendName)
    .map(({ kernel, runs, milliseconds, bytes }) => {
      const past = before.get(kernel) ?? { runs: 0, milliseconds: 0, bytes: 0 };
      return {
        name: `${kernel} (host)`,
        runs: runs - past.runs,
        milliseconds: milliseconds - past.milliseconds,
        flops: 0,
        bytes: bytes - past.bytes,
      };
    })
    .filter((entry) => entry.runs > 0);
}

/** Kernels that a backend has from the host. */
export function hostKernels(backendName: string): string[] {
  return [...(counts.get(backendName)?.keys() ?? [])];
}

/**
 * Gives a backend what it lacks: each kernel of tfjs that the host has, and with `ours` those of src/ops as well (where
 * not, an operation runs its reference on the backend). Inputs are downloaded, computed on, and the outputs uploaded. So
 * a new engine can begin with a matrix product and an attention, and see what is worth a kernel next.
 * @param hostName a backend that computes on the host, whose kernels are registered
 */
export function registerHostFallback(backendName: string, hostName: string, { ours = false } = {}): void {
  if (backendName === hostName) {
    return;
  }
  const runs = counts.get(backendName) ?? new Map<string, HostRuns>();
  counts.set(backendName, runs);
  const contracts = new Map(declaredKernels().map((contract) => [contract.name, contract]));
  for (const { kernelName } of tf.getKernelsForBackend(hostName)) {
    const contract = contracts.get(kernelName);
    // What changes its inputs in place would change copies: the reference assigns variables.
    const wanted = contract ? ours && !contract.inPlace : !EXCLUDED.has(kernelName);
    if (!wanted || tf.getKernel(kernelName, backendName)) {
      continue;
    }
    const entry: HostRuns = { kernel: kernelName, runs: 0, milliseconds: 0, bytes: 0 };
    runs.set(kernelName, entry);
    tf.registerKernel({ kernelName, backendName, kernelFunc: onHost(kernelName, backendName, hostName, entry) });
  }
}

function onHost(kernelName: string, backendName: string, hostName: string, entry: HostRuns): tf.KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const started = performance.now();
    const guest = backend as tf.KernelBackend;
    const host = tf.findBackend(hostName);
    const held: object[] = [];
    const copy = (from: tf.KernelBackend, to: tf.KernelBackend, { dataId, shape, dtype }: tf.TensorInfo) => {
      const values = from.readSync(dataId);
      entry.bytes += 'byteLength' in values ? values.byteLength : 0;
      return { dataId: to.write(values, shape, dtype), shape, dtype };
    };
    const download = (tensor: tf.TensorInfo) => {
      const copied = copy(guest, host, tensor);
      held.push(copied.dataId);
      return copied;
    };
    try {
      const given = Array.isArray(inputs)
        ? inputs.map(download)
        : Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, tensor && download(tensor)]));
      const { kernelFunc } = tf.getKernel(kernelName, hostName);
      const results = kernelFunc({ inputs: given as tf.NamedTensorInfoMap, attrs, backend: host });
      const list = Array.isArray(results) ? results : [results];
      held.push(...list.map(({ dataId }) => dataId));
      const outputs = list.map((result) => copy(host, guest, result));
      return Array.isArray(results) ? outputs : outputs[0];
    } catch (cause) {
      const reason = (cause as Error).message;
      throw new Error(`${kernelName}, which ${backendName} lacks, cannot be computed on the host: ${reason}`, {
        cause,
      });
    } finally {
      for (const dataId of held) {
        host.disposeData(dataId);
      }
      entry.runs += 1;
      entry.milliseconds += performance.now() - started;
    }
  };
}
