import { type Command, Option } from 'commander';
import { ATTENTION_KINDS, type AttentionConfig, type AttentionKind, KERNELS } from '../model/config.js';
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
