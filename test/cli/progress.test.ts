import { expect, test } from 'vitest';
import { createProgress, formatDuration, type ProgressOptions } from '../../src/cli/progress.js';

/** Progress on a stream that keeps what is written, with a clock set by hand. */
function watched(options: Partial<ProgressOptions>, isTTY: boolean) {
  const clock = { milliseconds: 0 };
  const written: string[] = [];
  const progress = createProgress({
    label: 'training',
    unit: 'steps',
    ...options,
    stream: { isTTY, columns: 120, write: (text) => written.push(text) },
    now: () => clock.milliseconds,
  });
  return { progress, clock, written };
}

test('a terminal gets a bar with rate and time left', () => {
  const { progress, clock, written } = watched({ total: 100 }, true);
  clock.milliseconds = 5000;
  progress.update(25, 'loss 2.5');
  expect(written.join('')).toContain('25 %  25/100 steps  5.0 steps/s  0:15 left  loss 2.5');
  progress.log('saved');
  progress.end();
  expect(written.join('')).toContain('\r\x1b[2Ksaved\n');
  expect(written.at(-1)).toBe('\n');
});

test('what was done before a resume takes no part in the rate', () => {
  const { progress, clock, written } = watched({ total: 100, start: 50 }, true);
  clock.milliseconds = 5000;
  progress.update(60);
  expect(written.join('')).toContain('2.0 steps/s  0:20 left');
});

test('an estimate stands in where the count does not say how far the work is', () => {
  const { progress, clock, written } = watched({}, true);
  clock.milliseconds = 10_000;
  progress.update(50, 'loss 2.5', { fraction: 0.25, secondsLeft: 30 });
  expect(written.join('')).toContain('25 %  50 steps  5.0 steps/s  0:30 left  loss 2.5');
});

test('elsewhere a plain line appears now and then', () => {
  const { progress, clock, written } = watched({ total: 1000, plainInterval: 10_000 }, false);
  for (let second = 1; second <= 25; second++) {
    clock.milliseconds = second * 1000;
    progress.update(second * 10);
  }
  expect(written).toEqual([
    'training  10 %  100/1,000 steps  10 steps/s  1:30 left\n',
    'training  20 %  200/1,000 steps  10 steps/s  1:20 left\n',
  ]);
  progress.end();
  expect(written.at(-1)).toBe('training  25 %  250/1,000 steps  10 steps/s  in 0:25\n');
});

test('quiet shows nothing', () => {
  const { progress, clock, written } = watched({ quiet: true }, true);
  clock.milliseconds = 99_999;
  progress.update(1);
  progress.log('x');
  progress.end();
  expect(written).toEqual([]);
});

test('durations', () => {
  expect([0, 7.4, 754, 3723].map(formatDuration)).toEqual(['0:00', '0:07', '12:34', '1:02:03']);
});
