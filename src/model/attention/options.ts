import { InputError } from '../../data/errors.js';

/** Which attention a model has, and its options: the `attention` field of config.json. Each kind's file says which. */
export interface AttentionConfig {
  kind: string;
  /** Whether a token sees only itself and those before it. */
  causal: boolean;
  /** Training steps after which what is random by design is drawn anew. Default: never. */
  redraw_interval?: number;
  /** Which way of computing the kind the weights were trained with, where there has been another: see `AttentionKind`. */
  revision?: number;
  [option: string]: string | number | boolean | undefined;
}

/** What every kind is told, beside options of its own. */
export type AttentionOptions = Pick<AttentionConfig, 'causal' | 'redraw_interval'>;

/** An option of a kind of attention: its help, its default, and the values that it takes. */
export type AttentionOption = {
  /** What it is, for `--help`. */
  help: string;
  /** Absent: the option may be left out, and nothing takes its place. */
  default?: string | number;
  /** Where it has no use without certain values of another option: that option, and those values. */
  needs?: { option: string; values: readonly string[] };
} & (
  | { type: 'choice'; choices: readonly string[] }
  | { type: 'whole'; minimum: number; maximum: number; even?: boolean }
  | { type: 'positive' }
);

/** Whether an option has a use beside the others. */
export function isUseful({ needs }: AttentionOption, attention: Partial<AttentionConfig>): boolean {
  return needs === undefined || needs.values.includes(attention[needs.option] as string);
}

/** Options with the defaults of their kind. Those that depend on another option come last, where they have a use. */
export function withDefaults(
  options: Record<string, AttentionOption>,
  attention: Partial<AttentionConfig>,
): Partial<AttentionConfig> {
  const defaults = Object.entries(options).filter(([, option]) => option.default !== undefined);
  const plain = defaults.filter(([, { needs }]) => needs === undefined);
  const complete: Partial<AttentionConfig> = {
    ...Object.fromEntries(plain.map(([name, option]) => [name, option.default])),
    ...attention,
  };
  for (const [name, option] of defaults) {
    if (option.needs && isUseful(option, complete)) {
      complete[name] ??= option.default;
    }
  }
  return complete;
}

/**
 * Checks the value of an option.
 * @param field names it in errors
 * @throws InputError saying what it must be
 */
export function checkOption(option: AttentionOption, value: unknown, field: string, where: string): void {
  const need = needOf(option, value);
  if (need) {
    throw new InputError(`${where}: ${field} is ${JSON.stringify(value) ?? 'missing'}: it must be ${need}`);
  }
}

/** What an option's value must be, where it is not. */
function needOf(option: AttentionOption, value: unknown): string | undefined {
  switch (option.type) {
    case 'choice': {
      const choices = option.choices.map((choice) => JSON.stringify(choice)).join(' or ');
      return option.choices.includes(value as string) ? undefined : choices;
    }
    case 'positive':
      return (value as number) > 0 ? undefined : 'above 0';
    default: {
      const { minimum, maximum, even } = option;
      if (!(Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum)) {
        return `a whole number from ${minimum} to ${maximum}`;
      }
      return even && (value as number) % 2 !== 0 ? 'even' : undefined;
    }
  }
}

/** An attention with other fields: where its kind changes, those left out are left to the defaults of the new kind. */
export function changeAttention(
  attention: AttentionConfig,
  fields: Partial<AttentionConfig>,
): Partial<AttentionConfig> {
  const same = fields.kind === undefined || fields.kind === attention.kind;
  return same ? { ...attention, ...fields } : { causal: attention.causal, ...fields };
}
