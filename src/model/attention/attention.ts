import type * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../data/random.js';
import type { AttentionOption, AttentionOptions } from './options.js';

/** A tensor that an attention has in each layer, beside queries, keys, values and output. */
export interface AttentionParameter {
  /** Its name within the layer; a checkpoint has it beside the queries, keys and values. */
  name: string;
  shape: number[];
  /** Whether training changes it. */
  trainable: boolean;
  /** Whether it is random by design, and redrawn where the configuration has a `redraw_interval`. */
  random?: boolean;
  initialise(random: Random): Float32Array;
}

/** The matrices of one layer's attention on one sequence, a few rows at a time. */
export interface AttentionRows {
  /**
   * Rows [from, to) of the matrices A[query, key] of one head or of all: [heads, to − from, L].
   * The tensor is the caller's to dispose.
   */
  rows(from: number, to: number, head?: number): tf.Tensor3D;
  /** Frees what is held between calls. */
  dispose(): void;
}

/**
 * An attention, for one model. Whoever tries out one of their own gives it to `createModel` or `LanguageModel`; one
 * that is to be saved and named in a configuration is registered as a kind: see `registerAttention`.
 *
 *     const returnsValues: Attention = { parameters: [], attend: (qkv) => tf.split(qkv, 3, 2)[2] };
 */
export interface Attention {
  /** Whether queries are keys as well: there is one projection for both, and `attend` finds it in both places. */
  sharedQueryKey?: boolean;
  parameters: AttentionParameter[];
  /**
   * @param qkv [B, L, 3 D]: queries, keys and values, each heads × d
   * @param keep [B, L] 1 for tokens, 0 for padding
   * @param parameters the layer's tensors, by name
   * @returns [B, L, D]
   */
  attend(qkv: tf.Tensor3D, keep: tf.Tensor2D, parameters: Record<string, tf.Tensor>): tf.Tensor3D;
  /**
   * Its matrices on a sequence without padding, for maps and contacts. Without it they are what `attend` makes of
   * one-hot values, which is right for any attention and slower than its own.
   * @param qkv [1, L, 3 D], the caller's, and there until `dispose`
   */
  rows?(qkv: tf.Tensor3D, parameters: Record<string, tf.Tensor>): AttentionRows | Promise<AttentionRows>;
}

/** What an attention is told of the network that it is made for. */
export interface AttentionShape {
  heads: number;
  /** Width d of a head. */
  size: number;
  /** Tokens of the longest sequence that the network was made for, <cls> and <eos> included. */
  length: number;
}

/** A kind of attention: all that the rest of the house knows of it. */
export interface AttentionKind<Options extends object = Record<string, unknown>> {
  /** What `attention.kind` of a configuration and `--attention` call it. */
  name: string;
  /** The options that it reads, by the names that a configuration has. */
  options: { [Name in keyof Options]-?: AttentionOption };
  /** Whether it has a causal form, in which a token sees only itself and those before it. */
  causal: boolean;
  /** Whether its time and memory grow linearly with the length. */
  linear: boolean;
  /** Whether it is what a Transformer has, softmax(q kᵀ / √d) v, computed exactly. */
  exact?: boolean;
  /** Whether its parameters are made for the longest sequence, and so take no longer one. */
  fixedLength?: boolean;
  /** What is to be feared of it, and what to take instead, where it is not stable: a line for whoever trains it. */
  unstable?: string;
  /** Inverse strength C of the L1 penalty in a regression of contacts on its maps. Default 10. */
  inversePenalty?: number;
  /**
   * How it is computed now, where it was once computed otherwise: the number that new configurations carry as
   * `revision`, the configurations that it concerns, and a line for whoever loads weights from before.
   */
  revision?: { number: number; concerns(options: AttentionOptions): boolean; note: string };
  /** Options that differ from the defaults where weights come from a model with another kind. */
  converted?(from: AttentionKind): Partial<Options>;
  /** The attention of a model. */
  create(options: Options & AttentionOptions, shape: AttentionShape): Attention;
}
