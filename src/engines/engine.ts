import { InputError } from '../data/errors.js';
import type { Step, StepInput, StepUnderWay } from './steps.js';

/** Where tensors can live, as `--device` names it. */
export const DEVICES = ['cpu', 'webgpu', 'tensorflow', 'wasm'] as const;
export type Device = (typeof DEVICES)[number];

export const PRECISIONS = ['auto', 'f16', 'f32'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** What an engine needs to know to start. */
export interface EngineOptions {
  /** CPU threads, where the engine has any. Default: all that this process may use. */
  threads?: number;
  /**
   * Of the operands of matrix products on a GPU: f16 needs matrix units; sums are of 32 bits either way. `auto`, the
   * default: f16 where a hardware GPU has them.
   */
  precision?: Precision;
  /** The most bytes that tensors may take, where the engine keeps count. Default: all that this process may use. */
  maxMemory?: number;
}

/** The accelerator is gone, with all that was on it: its driver was reset, or it was taken away. */
export class DeviceLostError extends InputError {
  /** @param what was lost, and why */
  constructor(readonly what: string) {
    super(`${what}: run it again, or with --device cpu`);
  }
}

/** What an engine's tensors take, in bytes. */
export interface EngineMemory {
  inUse: number;
  peak: number;
  limit: number;
}

/** What the runs of one kernel took. */
export interface KernelTimes {
  name: string;
  runs: number;
  milliseconds: number;
  flops: number;
  bytes: number;
}

/** An engine that runs: the tfjs backend of that name is the current one. */
export interface Engine {
  device: Device;
  /** The tfjs backend's name. */
  backend: string;
  /** For people: the processor, instruction set, threads, … */
  description: string;
  /** Of the operands of its matrix products. */
  precision: Exclude<Precision, 'auto'>;
  /** The tokens of a pass of inference that suit it: a processor's caches want few, a GPU wants many at once. */
  tokensPerPass: number;
  /** Elements of the largest tensor that a pass should make: every GPU binds 128 MiB, and some no more. */
  largestTensor: number;
  /** Where the engine keeps count. */
  memory?(): EngineMemory;
  /** Where the engine records steps and replays them. */
  beginStep?(owner: object, key: string, inputs: Record<string, StepInput>, seeds: number[], step: Step): StepUnderWay;
  /** Times of the kernels that `compute` runs, where the engine can tell them. */
  measureKernels?(compute: () => Promise<unknown>): Promise<KernelTimes[]>;
  /** Ends its threads and device handles, so that the process can exit. What was made on it computes no more. */
  stop(): Promise<void>;
}

/** Which of `EngineOptions` a kind of engine can honour; it is never started with others. */
export interface Honours {
  /** The most threads that it can be told to use; 0 where there is nothing to tell. */
  threads: number;
  precisions: readonly Exclude<Precision, 'auto'>[];
  /** Whether it keeps to a limit of memory. */
  maxMemory: boolean;
}

/** What `doctor` shows of an engine. */
export interface EngineReport {
  device: Device;
  usable: boolean;
  /** Whether `auto` may take it; a software GPU is usable, but never taken. */
  automatic: boolean;
  description?: string;
  /** Why it is not usable. */
  reason?: string;
  /** What makes it usable. */
  install?: string;
}

/** A kind of engine: what its folder exports. */
export interface EngineKind {
  device: Device;
  honours: Honours;
  probe(): Promise<EngineReport>;
  /** Makes its kernels known to tfjs, under the backend's name that it returns; undefined where they cannot be had. */
  register(): Promise<string | undefined>;
  /** Whether it has but few of tfjs's kernels, so that those of src/ops that it lacks are computed on the host as well. */
  bare?: boolean;
  /** Starts it and makes it tfjs's current backend. Throws InputError where it cannot. */
  start(options: EngineOptions): Promise<Engine>;
}
