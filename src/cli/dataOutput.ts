import type { Warnings } from '../data/warnings.js';
import { createProgress } from './progress.js';

/** Warnings about the input, a line each, on standard error. They appear with `--quiet`, too. */
export function printWarnings(warnings: Warnings): void {
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
}

/** Progress through files: in megabytes, with the sequences so far. */
export function byteProgress(label: string, quiet: boolean | undefined) {
  let progress: ReturnType<typeof createProgress> | undefined;
  return {
    update(bytes: number, totalBytes: number | undefined, sequences: number): void {
      progress ??= createProgress({ label, unit: 'MB', quiet, total: totalBytes && totalBytes / 1e6 });
      progress.update(bytes / 1e6, `${count(sequences)} sequences`);
    },
    end: () => progress?.end(),
  };
}

/** Text in columns: the first to the left, numbers to the right. */
export function columns(header: string[], rows: string[][]): string {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  const line = (row: string[]) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])));
  return [header, ...rows].map((row) => `${line(row).join('  ').trimEnd()}\n`).join('');
}

/** 1234.56 -> `1,234.6` */
export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 1 });
}
