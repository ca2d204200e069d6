/** The sizes that torch_peer.py measures, by the names it gives them. */
export const CONFIGURATIONS = {
  tiny: { hidden: 128, layers: 4, heads: 4, feedForward: 256, length: 512, batch: 8 },
  wide: { hidden: 512, layers: 2, heads: 8, feedForward: 1024, length: 1024, batch: 2 },
  long: { hidden: 512, layers: 2, heads: 8, feedForward: 1024, length: 8192, batch: 1 },
  paper: { hidden: 512, layers: 36, heads: 8, feedForward: 1024, length: 1024, batch: 1 },
} as const;
export type ConfigurationName = keyof typeof CONFIGURATIONS;

/** What one process measures. */
export interface Workload {
  configuration: ConfigurationName;
  attention: 'favor-relu' | 'softmax';
  /** Inference instead of training. */
  forward: boolean;
  /** Least time to measure, after the warm-up. */
  seconds: number;
  threads?: number;
  /** In place of the configuration's own. */
  length?: number;
  batch?: number;
  /** Adds the time of every kernel to the result. */
  profile?: boolean;
}

export interface Measurement {
  configuration: string;
  forward: boolean;
  attention: string;
  length: number;
  batch: number;
  engine: string;
  secondsPerStep: number;
  /** Processor time of all threads: what a machine that does other things as well tells most truly. */
  cpuSecondsPerStep: number;
  /** The fastest step. */
  bestSeconds: number;
  tokensPerSecond: number;
  /** Peak resident memory of the process, in bytes. */
  peakBytes: number;
  /** Milliseconds and calls a step, of each kernel. */
  kernels?: Record<string, { milliseconds: number; calls: number }>;
}
