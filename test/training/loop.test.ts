import { expect, test } from 'vitest';
import { type Observer, type Progress, runLoop } from '../../src/training/loop.js';

/** Numbers from 1, `limit` of them. */
function* numbers(limit: number): Generator<number, void> {
  for (let i = 1; i <= limit; i++) {
    yield i;
  }
}

/** What a loop does, in order. */
function recorder() {
  const events: string[] = [];
  const begin = (batch: number, step: number) => {
    events.push(`begin ${batch} as ${step}`);
    return { figures: Promise.resolve(batch) };
  };
  const settle = (figures: number, step: number) => {
    events.push(`settle ${figures} of ${step}`);
  };
  const observer = (name: string, due: (progress: Progress) => boolean): Observer => ({
    due,
    observe({ step, finished, stopping }) {
      events.push(`${name} ${step}${finished ? ' finished' : ''}${stopping ? ' stopping' : ''}`);
    },
  });
  return { events, begin, settle, observer };
}

test('reads the figures of a step while the next one runs, unless an observer looks', async () => {
  const { events, begin, settle, observer } = recorder();
  const observers = [observer('a', ({ step }) => step === 2), observer('b', ({ step }) => step === 2)];
  expect(await runLoop({ batches: numbers(3), begin, settle, finished: () => false, observers })).toBe(false);
  expect(events).toEqual([
    'begin 1 as 1',
    'begin 2 as 2',
    'settle 1 of 1',
    'settle 2 of 2',
    'a 2',
    'b 2',
    'begin 3 as 3',
    'settle 3 of 3',
  ]);
});

test('ends when the work is done, which observers are told, and counts on from the steps before', async () => {
  const { events, begin, settle, observer } = recorder();
  let begun = 0;
  const finished = await runLoop({
    batches: numbers(9),
    done: 7,
    begin: (batch, step) => {
      begun++;
      return begin(batch, step);
    },
    settle,
    finished: () => begun === 2,
    observers: [observer('last', (progress) => progress.finished)],
  });
  expect(finished).toBe(true);
  expect(events).toEqual(['begin 1 as 8', 'begin 2 as 9', 'settle 1 of 8', 'settle 2 of 9', 'last 9 finished']);
  const none = recorder();
  expect(await runLoop({ batches: numbers(9), ...none, finished: () => true })).toBe(true);
  expect(none.events).toEqual([]);
});

test('a signal lets the step under way end, and an observer may give it', async () => {
  const { events, begin, settle, observer } = recorder();
  const controller = new AbortController();
  const stop: Observer = { due: ({ step }) => step === 2, observe: () => controller.abort() };
  const observers = [stop, observer('stopping', (progress) => progress.stopping)];
  const loop = { batches: numbers(9), begin, settle, finished: () => false, observers, signal: controller.signal };
  expect(await runLoop(loop)).toBe(false);
  expect(events).toEqual(['begin 1 as 1', 'begin 2 as 2', 'settle 1 of 1', 'settle 2 of 2']);

  const during = recorder();
  const other = new AbortController();
  setImmediate(() => other.abort());
  await runLoop({
    batches: numbers(9),
    begin: during.begin,
    settle: during.settle,
    finished: () => false,
    observers: [during.observer('stopping', (progress) => progress.stopping)],
    signal: other.signal,
  });
  expect(during.events.at(-1)).toBe('stopping 1 stopping');
});

test('batches with nothing to learn from are no steps, and let signals in', async () => {
  const { events, settle } = recorder();
  const controller = new AbortController();
  let batches = 0;
  const loop = runLoop<number, number>({
    batches: numbers(Number.POSITIVE_INFINITY),
    begin: () => {
      batches++;
      return undefined;
    },
    settle,
    finished: () => false,
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(), 20);
  await loop;
  expect(batches).toBeGreaterThan(0);
  expect(events).toEqual([]);
  // Those between two steps change neither their numbers nor the order of figures.
  const mixed = recorder();
  await runLoop({
    batches: numbers(4),
    begin: (batch, step) => (batch % 2 === 0 ? undefined : mixed.begin(batch, step)),
    settle: mixed.settle,
    finished: () => false,
  });
  expect(mixed.events).toEqual(['begin 1 as 1', 'settle 1 of 1', 'begin 3 as 2', 'settle 3 of 2']);
});

test('figures that fail end it, and leave no step that nobody waits for', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', listen);
  const failing = runLoop<number, number>({
    batches: numbers(3),
    begin: (batch) => ({ figures: Promise.reject(new Error(`step ${batch}`)) }),
    settle() {},
    finished: () => false,
  });
  await expect(failing).rejects.toThrow('step 1');
  await new Promise((resolve) => setTimeout(resolve, 10));
  process.off('unhandledRejection', listen);
  expect(unhandled).toEqual([]);
});
