import { InputError } from '../../data/errors.js';
import type { Attention, AttentionKind, AttentionShape } from './attention.js';
import { favorKernel } from './favorKernel.js';
import { favorRelu } from './favorRelu.js';
import { favorSoftmax } from './favorSoftmax.js';
import { favorTrig } from './favorTrig.js';
import { linformer } from './linformer.js';
import { lsh } from './lsh.js';
import { type AttentionConfig, type AttentionOption, checkOption, isUseful, withDefaults } from './options.js';
import { softmax } from './softmax.js';

const kinds = new Map<string, AttentionKind>();

/** Names of the kinds of attention, Performer-ReLU first. */
export const ATTENTION_KINDS: readonly string[] = [];

/**
 * Makes a kind of attention known: configurations may name it, models with it are trained, saved and loaded as any.
 * @throws Error where another has its name
 */
export function registerAttention<Options extends object>(kind: AttentionKind<Options>): void {
  if (kinds.has(kind.name)) {
    throw new Error(`a kind of attention called ${kind.name} is there already`);
  }
  kinds.set(kind.name, kind as unknown as AttentionKind);
  (ATTENTION_KINDS as string[]).push(kind.name);
}

/** The kind that a model has whose configuration names none. */
export const DEFAULT_ATTENTION = favorRelu.name;
/** The kind of a Transformer. */
export const EXACT_ATTENTION = softmax.name;

registerAttention(favorRelu);
registerAttention(favorSoftmax);
registerAttention(favorTrig);
registerAttention(favorKernel);
registerAttention(softmax);
registerAttention(linformer);
registerAttention(lsh);

/** The kind of that name. Throws InputError where there is none. */
export function attentionKind(name: string, where = 'attention'): AttentionKind {
  const kind = kinds.get(name);
  if (!kind) {
    const known = ATTENTION_KINDS.map((other) => JSON.stringify(other)).join(' or ');
    throw new InputError(`${where}: attention.kind is ${JSON.stringify(name)}: it must be ${known}`);
  }
  return kind;
}

/** The options of all kinds by name, each as the first kind has it that reads it. */
export function attentionOptions(): Record<string, AttentionOption> {
  const all: Record<string, AttentionOption> = {};
  for (const { options } of kinds.values()) {
    for (const [name, option] of Object.entries(options)) {
      all[name] ??= option;
    }
  }
  return all;
}

/** An attention's configuration with the defaults of its kind, `favor-relu` where none is said. */
export function completeAttention(attention: Partial<AttentionConfig>): AttentionConfig {
  const { kind = DEFAULT_ATTENTION, causal = false } = attention;
  const complete = { kind, causal, ...withDefaults(kinds.get(kind)?.options ?? {}, attention) };
  return { ...complete, kind, causal };
}

/** An attention's configuration with the revision of its kind: what is trained from here on is computed this way. */
export function withRevision({ revision: _, ...attention }: AttentionConfig): AttentionConfig {
  const current = attentionKind(attention.kind).revision;
  return current?.concerns(attention) ? { ...attention, revision: current.number } : attention;
}

/** What is to be said of weights that were trained when the kind was computed otherwise. */
export function outdated(attention: AttentionConfig): string | undefined {
  const current = attentionKind(attention.kind).revision;
  return current?.concerns(attention) && attention.revision !== current.number ? current.note : undefined;
}

/**
 * Checks an attention's configuration, complete with its defaults.
 * @throws InputError naming the field
 */
export function checkAttention(attention: AttentionConfig, where: string): void {
  const { kind: name, causal, revision, ...options } = attention;
  const kind = attentionKind(name, where);
  if (revision !== undefined && !(Number.isInteger(revision) && revision <= (kind.revision?.number ?? 1))) {
    const need = kind.revision ? `${kind.revision.number} or left out` : 'left out';
    throw new InputError(`${where}: attention.revision is ${JSON.stringify(revision)}: it must be ${need}`);
  }
  if (typeof causal !== 'boolean' || (causal && !kind.causal)) {
    const need = kind.causal ? 'true or false' : 'false';
    throw new InputError(`${where}: attention.causal is ${JSON.stringify(causal)}: it must be ${need}`);
  }
  // What another kind reads stays where it is, so that a configuration may go from one to another and back.
  const known = { ...attentionOptions(), ...kind.options };
  for (const [option, value] of Object.entries(options)) {
    if (!Object.hasOwn(known, option)) {
      const names = ['kind', 'causal', 'revision', ...Object.keys(known)].join(', ');
      throw new InputError(
        `${where}: attention.${option} is ${JSON.stringify(value)}: it must be left out: there are ${names}`,
      );
    }
    if (value !== undefined) {
      checkOption(known[option], value, `attention.${option}`, where);
    }
  }
  for (const [option, rules] of Object.entries(kind.options)) {
    if (options[option] === undefined && rules.default !== undefined && isUseful(rules, attention)) {
      checkOption(rules, undefined, `attention.${option}`, where);
    }
  }
}

/** The attention that a model's configuration names. */
export function createAttention(attention: AttentionConfig, shape: AttentionShape): Attention {
  return attentionKind(attention.kind).create(attention, shape);
}
