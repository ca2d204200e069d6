import { setImmediate } from 'node:timers/promises';

/** Where a loop stands after a step. */
export interface Progress {
  /** Number of the step, from 1. */
  step: number;
  /** Whether it is the last one, as the work is done. */
  finished: boolean;
  /** Whether the loop was asked to stop after it. */
  stopping: boolean;
}

/** Looks at a training after its steps: logs, validates, saves. */
export interface Observer {
  /** Whether it looks after this step. */
  due(progress: Progress): boolean;
  /** Looks, once the figures of this step and of all before it are known. */
  observe(progress: Progress): void | Promise<void>;
}

/** What a loop goes over, and how. */
export interface Loop<Batch, Figures> {
  batches: Iterator<Batch, void>;
  /** Steps that were done before. */
  done?: number;
  /**
   * Begins a step: it resolves when the next one may begin, and its figures when they are read.
   * @returns undefined where the batch has nothing to learn from, and no step was taken
   */
  begin(batch: Batch, step: number): StepBegun<Figures> | Promise<StepBegun<Figures>>;
  /** Takes the figures of a step, in the steps' order. */
  settle(figures: Figures, step: number): void;
  /** Whether the work is done; asked before the first step and after each. */
  finished(): boolean;
  /** In the order in which they look. */
  observers?: readonly Observer[];
  /** Ends the loop after the step under way. */
  signal?: AbortSignal;
}

type StepBegun<Figures> = { figures: Promise<Figures> } | undefined;

/**
 * The loop of every training: steps over batches, one after the other, until the work is done, the batches end or the
 * signal comes. A step's figures are read while the next one runs, so that an accelerator never waits for them, unless
 * an observer wants to look. Signals and timers come in between any two batches.
 * @returns whether the work is done
 */
export async function runLoop<Batch, Figures>(loop: Loop<Batch, Figures>): Promise<boolean> {
  const { observers = [], signal } = loop;
  let step = loop.done ?? 0;
  let pending: { step: number; figures: Promise<Figures> } | undefined;
  const settle = async () => {
    const settled = pending;
    pending = undefined;
    if (settled) {
      loop.settle(await settled.figures, settled.step);
    }
  };
  let finished = loop.finished();
  while (!finished && !signal?.aborted) {
    const { value: batch, done } = loop.batches.next();
    if (done) {
      break;
    }
    const begun = await loop.begin(batch, step + 1);
    // Where the step before fails, nobody waits for this one.
    begun?.figures.catch(() => {});
    await settle();
    if (begun) {
      pending = { step: ++step, figures: begun.figures };
    }
    await setImmediate();
    finished = loop.finished();
    if (!begun) {
      continue;
    }
    const progress = { step, finished, stopping: signal?.aborted ?? false };
    const looking = observers.filter((observer) => observer.due(progress));
    if (looking.length > 0) {
      await settle();
    }
    for (const observer of looking) {
      await observer.observe(progress);
    }
  }
  await settle();
  return finished;
}
