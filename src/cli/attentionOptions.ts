import { type Command, Option } from 'commander';
import { ATTENTION_KINDS, type AttentionConfig, type AttentionKind, KERNELS } from '../model/config.js';
import { UsageError } from './errors.js';
import { wholeNumber } from './options.js';

/** What says how queries meet keys. */
export interface AttentionOptions {
  attention?: AttentionKind;
  kernel?: AttentionConfig['kernel'];
  features?: AttentionConfig['features'];
  numFeatures?: number;
  redrawInterval?: number;
}

/** Names of these options, as commander knows them. */
export const ATTENTION_OPTIONS = ['attention', 'kernel', 'features', 'numFeatures', 'redrawInterval'] as const;

/** Adds `--attention` and what belongs to it. */
export function addAttentionOptions(command: Command, text: string): Command {
  return command
    .addOption(new Option('--attention <kind>', text).choices(ATTENTION_KINDS))
    .addOption(new Option('--kernel <function>', 'function of favor-kernel (default: relu)').choices(KERNELS))
    .addOption(
      new Option('--features <kind>', 'random features of favor-*').choices([
        'deterministic',
        'orthogonal',
        'regularized',
        'iid',
      ]),
    )
    .option('--num-features <n>', 'random features a head (default: 256)', wholeNumber(1))
    .option('--redraw-interval <steps>', 'training steps between draws of the random features', wholeNumber(1));
}

/**
 * Checks that the options mean something to the attention that a model gets.
 * @param attention complete, with what the options give
 * @throws UsageError naming those that its kind has no use for
 */
export function checkAttentionOptions(options: AttentionOptions, attention: AttentionConfig): void {
  const { kind, features } = attention;
  const favor = kind.startsWith('favor-');
  const random = favor && features !== 'deterministic';
  const useless = [
    options.kernel !== undefined && kind !== 'favor-kernel' ? ['--kernel'] : [],
    options.features !== undefined && !favor ? ['--features'] : [],
    options.numFeatures !== undefined && !random ? ['--num-features'] : [],
    options.redrawInterval !== undefined && !random && kind !== 'lsh' ? ['--redraw-interval'] : [],
  ].flat();
  if (useless.length === 0) {
    return;
  }
  const needsRandom = favor && !random && !useless.includes('--kernel');
  const [what, advice] = needsRandom ? ['deterministic ', ', or give --features orthogonal'] : ['', ''];
  throw new UsageError(`${useless.join(', ')}: ${what}${kind} attention has no use for it; leave it out${advice}`);
}

/** The fields of a configuration's `attention` that the options give. */
export function attentionFields(options: AttentionOptions): Partial<AttentionConfig> {
  const fields = {
    kind: options.attention,
    kernel: options.kernel,
    features: options.features,
    num_features: options.numFeatures,
    redraw_interval: options.redrawInterval,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/**
 * An attention with what the options give: its other fields stay where its kind does, and are left to the defaults of
 * the new kind where it does not.
 */
export function changeAttention(attention: AttentionConfig, options: AttentionOptions): Partial<AttentionConfig> {
  const fields = attentionFields(options);
  const same = fields.kind === undefined || fields.kind === attention.kind;
  return same ? { ...attention, ...fields } : { causal: attention.causal, ...fields };
}
