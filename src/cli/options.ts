import { type Command, InvalidArgumentError, Option } from 'commander';
import { DEVICES, type Device, PRECISIONS, type Precision } from '../engines/engine.js';

/** What every command takes, and the ones that only make sense for some. */
export interface CommonOptions {
  /** No progress and no log lines; warnings and errors still appear. */
  quiet?: boolean;
  /** Stack traces of errors. */
  debug?: boolean;
  /** Seed of everything random. */
  seed: number;
  /** Engine to compute on. */
  device: Device | 'auto';
  /** CPU threads; all cores when absent. */
  threads?: number;
}

/** Adds `--quiet` and `--debug`, and those of `--seed`, `--device` and `--threads` that are named. */
export function addCommonOptions(command: Command, ...names: ('seed' | 'device' | 'threads')[]): Command {
  if (names.includes('seed')) {
    command.option('--seed <n>', 'seed of everything random', wholeNumber(0, 2 ** 32 - 1), 0);
  }
  if (names.includes('device')) {
    command.addOption(
      new Option('--device <name>', 'engine to compute on').choices(['auto', ...DEVICES]).default('auto'),
    );
  }
  if (names.includes('threads')) {
    command.option('--threads <n>', 'CPU threads (default: all cores)', wholeNumber(1, 1024));
  }
  return command
    .option('--quiet', 'no progress and no log lines; warnings and errors still appear')
    .option('--debug', 'show the stack trace of an error');
}

/** `--precision` of a GPU's matrix products. */
export interface PrecisionOptions {
  precision: Precision;
}

export function addPrecisionOption(command: Command): Command {
  return command.addOption(
    new Option('--precision <name>', 'matrix products on a GPU: f16 operands where it has units for them, or f32')
      .choices(PRECISIONS)
      .default('auto'),
  );
}

/** Adds the examples that `--help` ends with. */
export function addExamples(command: Command, ...examples: string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}\n`);
}

/** Flags of the options with these names that the command line gives, defaults not counted. */
export function givenFlags(command: Command, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const flag = command.options.find((option) => option.attributeName() === name)?.long;
    return flag && command.getOptionValueSource(name) === 'cli' ? [flag] : [];
  });
}

/** Parses an option's value as a whole number in [minimum, maximum]; `4e6` and `4_000_000` are whole numbers too. */
export function wholeNumber(minimum = 0, maximum = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = number(minimum, maximum)(text.replace(/(?<=\d)_(?=\d)/g, ''));
    if (!Number.isSafeInteger(value)) {
      throw new InvalidArgumentError('A whole number is needed.');
    }
    return value;
  };
}

/** Parses an option's value as a number in [minimum, maximum]. */
export function number(minimum = -Infinity, maximum = Infinity): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (!Number.isFinite(value)) {
      throw new InvalidArgumentError('A number is needed.');
    }
    if (value < minimum) {
      throw new InvalidArgumentError(`It must be at least ${minimum}.`);
    }
    if (value > maximum) {
      throw new InvalidArgumentError(`It must be at most ${maximum}.`);
    }
    return value;
  };
}
