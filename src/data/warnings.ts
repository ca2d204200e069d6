import { InputError } from './errors.js';

/** The name of Node.js's warnings (`process.on('warning')`) of models that load, but not as they were meant. */
export const MODEL_WARNING = 'ModelWarning';

/** Number of cases and the first place, by kind. */
export type WarningCounts = Record<string, { count: number; first: string }>;

/**
 * Counts what was odd in the input but has a documented default: one line a kind, with the number and the first place.
 * With `strict` the first of them is an error instead.
 *
 *     const warnings = new Warnings();
 *     …
 *     for (const line of warnings.lines()) console.error(`warning: ${line}`);
 */
export class Warnings {
  readonly strict: boolean;
  private readonly kinds = new Map<string, { count: number; first: string }>();

  constructor(options: { strict?: boolean } = {}) {
    this.strict = options.strict ?? false;
  }

  /** Counts one case. `kind` says what happened and what was done about it, `where` names the place. */
  add(kind: string, where: string): void {
    if (this.strict) {
      throw new InputError(`${where}: ${kind}; strict input makes this an error, correct it or leave out --strict`);
    }
    const known = this.kinds.get(kind);
    if (known) {
      known.count++;
    } else {
      this.kinds.set(kind, { count: 1, first: where });
    }
  }

  /** Number of cases and the first place by kind, ready for JSON. */
  counts(): WarningCounts {
    return Object.fromEntries(this.kinds);
  }

  /** Takes over what `counts` gave. */
  addAll(counts: WarningCounts): void {
    for (const [kind, { count, first }] of Object.entries(counts)) {
      this.add(kind, first);
      this.kinds.get(kind)!.count += count - 1;
    }
  }

  /** One line a kind: `empty sequence, skipped: 3 (first: a.fasta:7, record sp|P1)`. */
  lines(): string[] {
    return [...this.kinds].map(
      ([kind, { count, first }]) => `${kind}: ${count.toLocaleString('en-US')} (first: ${first})`,
    );
  }
}
