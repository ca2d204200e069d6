/** Shape of the learning rate after the warm-up. */
export type Schedule = 'constant' | 'cosine';

export interface ScheduleOptions {
  schedule: Schedule;
  /** The learning rate at its highest. */
  learningRate: number;
  /** Steps of linear warm-up. */
  warmup: number;
}

/**
 * The learning rate of a step: linear warm-up over the first `warmup` steps, times 1 (`constant`) or the half cosine
 * from 1 at the start of the run to 0 at its end (`cosine`; Loshchilov & Hutter 2017, equation 5, without restarts).
 * @param step the step, counted from 1
 * @param fraction share of the whole run that is done before this step, in [0, 1]
 */
export function learningRateAt(step: number, fraction: number, options: ScheduleOptions): number {
  const { schedule, learningRate, warmup } = options;
  const warm = step < warmup ? step / warmup : 1;
  const decay = schedule === 'cosine' ? (1 + Math.cos(Math.PI * Math.min(1, fraction))) / 2 : 1;
  return learningRate * warm * decay;
}
