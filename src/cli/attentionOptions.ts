import { type Command, Option } from 'commander';
import { ATTENTION_KINDS, attentionKind, attentionOptions } from '../model/attention/index.js';
import { type AttentionConfig, type AttentionOption, isUseful } from '../model/attention/options.js';
import { UsageError } from './errors.js';
import { number, wholeNumber } from './options.js';

/** What says how queries meet keys: `--attention`, and the options of all kinds as commander names them. */
export interface AttentionOptions {
  attention?: string;
}

/** Flags of an option of a configuration: `num_features` is `--num-features`. */
const flagOf = (name: string) => `--${name.replaceAll('_', '-')}`;
/** Its name as commander knows it: `numFeatures`. */
const attributeOf = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** Names of these options, as commander knows them. */
export const ATTENTION_OPTIONS: readonly string[] = ['attention', ...Object.keys(attentionOptions()).map(attributeOf)];

/** Adds `--attention` and the options of all kinds. */
export function addAttentionOptions(command: Command, text: string): Command {
  command.addOption(new Option('--attention <kind>', text).choices(ATTENTION_KINDS));
  for (const [name, option] of Object.entries(attentionOptions())) {
    command.addOption(commandOption(name, option));
  }
  return command;
}

/** An option, with the kinds that have it and their defaults. */
function commandOption(name: string, option: AttentionOption): Option {
  const kinds = ATTENTION_KINDS.map((kind) => attentionKind(kind)).filter(({ options }) => options[name]);
  const standards = [...new Set(kinds.map(({ options }) => options[name].default))];
  const of = (standard: unknown) =>
    kinds.flatMap(({ name: kind, options }) => (options[name].default === standard ? [kind] : [])).join(', ');
  const standard =
    standards.length === 1 ? standards[0] : standards.map((value) => `${value} for ${of(value)}`).join('; ');
  const text = `${kinds.map(({ name: kind }) => kind).join(', ')}: ${option.help}`;
  const flag = `${flagOf(name)} <${option.type === 'choice' ? 'name' : 'n'}>`;
  const built = new Option(flag, standard === undefined ? text : `${text} (default: ${standard})`);
  switch (option.type) {
    case 'choice':
      return built.choices(option.choices);
    case 'whole':
      return built.argParser(wholeNumber(option.minimum, option.maximum));
    default:
      return built.argParser(number());
  }
}

/**
 * Checks that the options mean something to the attention that a model gets.
 * @param attention complete, with what the options give
 * @throws UsageError naming those that its kind has no use for
 */
export function checkAttentionOptions(options: AttentionOptions, attention: AttentionConfig): void {
  const { options: known } = attentionKind(attention.kind);
  const useless = Object.keys(attentionFields(options))
    .filter((name) => name !== 'kind' && !(known[name] && isUseful(known[name], attention)))
    .sort();
  if (useless.length === 0) {
    return;
  }
  // Of some use, were another option different: say which.
  const needs = useless.map((name) => known[name]?.needs);
  const [first] = needs;
  const [what, advice] =
    first && needs.every((need) => need)
      ? [`${attention[first.option]} `, `, or give ${flagOf(first.option)} ${first.values[0]}`]
      : ['', ''];
  const flags = useless.map(flagOf).join(', ');
  throw new UsageError(`${flags}: ${what}${attention.kind} attention has no use for it; leave it out${advice}`);
}

/** The fields of a configuration's `attention` that the options give. */
export function attentionFields(options: AttentionOptions): Partial<AttentionConfig> {
  const given = options as Record<string, string | number | undefined>;
  const fields = Object.keys(attentionOptions()).map((name) => [name, given[attributeOf(name)]]);
  return Object.fromEntries([['kind', options.attention], ...fields].filter(([, value]) => value !== undefined));
}
