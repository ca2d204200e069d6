/** Where progress is shown: process.stderr, or a stand-in in tests. */
export interface ProgressStream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** What is going on, for example `training`. */
  label: string;
  /** How much there is to do, in `unit`s; absent when unknown. */
  total?: number;
  /** What is counted, in the plural: `steps`, `sequences`. */
  unit: string;
  /** How much was done before this start: it takes no part in the rate. */
  start?: number;
  /** Shows nothing. */
  quiet?: boolean;
  stream?: ProgressStream;
  /** Milliseconds between two plain lines where there is no terminal; default 15,000. */
  plainInterval?: number;
  /** The clock, in milliseconds. */
  now?: () => number;
}

/** How far the work is where the count does not say it, for example because the time is limited. */
export interface Estimate {
  /** Share that is done, in [0, 1]. */
  fraction: number;
  /** Unknown at first. */
  secondsLeft?: number;
}

export interface Progress {
  /** `done` units are done so far; `detail` follows the rate. */
  update(done: number, detail?: string, estimate?: Estimate): void;
  /** Prints a line above the bar. */
  log(line: string): void;
  /** Ends the bar with a last state; further calls do nothing. */
  end(): void;
}

/** Milliseconds between two drawings of the bar on a terminal. */
const BAR_INTERVAL = 100;
const BAR_WIDTH = 24;

/**
 * A progress bar with rate and time left on a terminal, a plain line now and then elsewhere, nothing with `quiet`.
 *
 *     training ━━━━━━━━━━━━╸          52 %  312/600 steps  5.1 steps/s  0:56 left  loss 2.874
 */
export function createProgress(options: ProgressOptions): Progress {
  if (options.quiet) {
    return { update() {}, log() {}, end() {} };
  }
  const stream: ProgressStream = options.stream ?? process.stderr;
  const now = options.now ?? (() => performance.now());
  const start = options.start ?? 0;
  const interval = stream.isTTY ? BAR_INTERVAL : (options.plainInterval ?? 15_000);
  const started = now();
  let drawn = started;
  let barShown = false;
  let last: { done: number; detail?: string; estimate?: Estimate } | undefined;
  let lastPrinted: typeof last;
  let ended = false;

  function text(): string {
    const { done, detail, estimate } = last!;
    const { label, total, unit } = options;
    const seconds = (now() - started) / 1000;
    const rate = seconds > 0 ? (done - start) / seconds : 0;
    const left = estimate ? estimate.secondsLeft : total !== undefined && rate > 0 ? (total - done) / rate : undefined;
    const parts = [`${count(done)}${total === undefined ? '' : `/${count(total)}`} ${unit}`];
    if (rate > 0) {
      parts.push(`${formatRate(rate)} ${unit}/s`);
    }
    if (left !== undefined && !ended) {
      parts.push(`${formatDuration(left)} left`);
    }
    if (ended) {
      parts.push(`in ${formatDuration(seconds)}`);
    }
    if (detail) {
      parts.push(detail);
    }
    const share = total === undefined ? undefined : total === 0 ? 1 : done / total;
    const fraction = estimate?.fraction ?? share;
    if (fraction === undefined) {
      return `${label}  ${parts.join('  ')}`;
    }
    const percent = `${Math.floor(Math.min(1, fraction) * 100)} %`.padStart(5);
    const filled = Math.round(Math.min(1, fraction) * BAR_WIDTH);
    const bar = stream.isTTY ? ` ${'━'.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}` : '';
    return `${label}${bar} ${percent}  ${parts.join('  ')}`;
  }

  function draw(): void {
    drawn = now();
    lastPrinted = last;
    if (stream.isTTY) {
      stream.write(`\r\x1b[2K${text().slice(0, (stream.columns ?? 80) - 1)}`);
      barShown = true;
    } else {
      stream.write(`${text()}\n`);
    }
  }

  return {
    update(done, detail, estimate) {
      if (ended) {
        return;
      }
      last = { done, detail, estimate };
      if (now() - drawn >= interval) {
        draw();
      }
    },
    log(line) {
      if (barShown) {
        stream.write('\r\x1b[2K');
      }
      stream.write(`${line}\n`);
      if (barShown && last && !ended) {
        draw();
      }
    },
    end() {
      if (ended) {
        return;
      }
      ended = true;
      // Without a terminal a last line is due only for what was long enough to be worth one.
      if (last && (stream.isTTY || lastPrinted !== undefined)) {
        draw();
      }
      if (barShown) {
        stream.write('\n');
      }
    },
  };
}

/** 1234567 -> `1,234,567`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function formatRate(rate: number): string {
  return rate >= 100 ? count(rate) : rate.toPrecision(2);
}

/** Seconds as `0:07`, `12:34` or `1:02:03`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
