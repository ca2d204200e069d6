import { InputError } from '../data/errors.js';
import { type ModelConfig, maxLength } from '../model/config.js';

/**
 * How a sequence longer than the model's window is seen:
 * - `optimal`: one window for each site, centred on it and clamped at the ends (ProteinGym's name);
 * - `overlapping`: windows from both ends, half a window apart, averaged with weights that fall off towards their edges;
 * - `whole`: no window at all.
 */
export const WINDOW_MODES = ['optimal', 'overlapping', 'whole'] as const;
export type WindowMode = (typeof WINDOW_MODES)[number];

export interface WindowOptions {
  /** Default: `whole` for linear attention with rotary positions, else as the caller says. */
  mode?: WindowMode;
  /** Tokens of a window, `<cls>` and `<eos>` included; default: what the model was made for (`windowSize`). */
  size?: number;
}

/** A part of a sequence's tokens, [start, end), and how much its result counts. */
export interface View {
  start: number;
  end: number;
  weight: number;
}

/** Tokens that a model was made for: its positions, or for rotary positions the same figure of its configuration. */
export function windowSize(config: ModelConfig): number {
  return Math.min(maxLength(config), config.max_position_embeddings - config.pad_token_id - 1);
}

/**
 * The views through which a model reads one token. Their weights add up to 1.
 *
 * @param length tokens of the sequence, `<cls>` and `<eos>` included
 * @returns from an index below `length` to its views
 * @throws InputError where a window is too small or too large for the model
 */
export function createViews(
  config: ModelConfig,
  length: number,
  options: WindowOptions & { mode: WindowMode },
): (index: number) => View[] {
  const size = options.size ?? windowSize(config);
  if (size > maxLength(config)) {
    throw new InputError(
      `a window of ${size} tokens: this model takes ${maxLength(config)}; use a smaller --window-size`,
    );
  }
  if (size < 8) {
    throw new InputError(`a window of ${size} tokens: at least 8 are needed; use a larger --window-size`);
  }
  if (options.mode === 'whole') {
    if (length > maxLength(config)) {
      throw new InputError(
        `a sequence of ${length} tokens: this model takes ${maxLength(config)}; use --window optimal or overlapping`,
      );
    }
    return () => [{ start: 0, end: length, weight: 1 }];
  }
  if (length <= size) {
    return () => [{ start: 0, end: length, weight: 1 }];
  }
  if (options.mode === 'optimal') {
    return (index) => [{ ...optimalWindow(index, length, size), weight: 1 }];
  }
  const starts = overlappingWindows(length, size);
  const weights = edgeWeights(size);
  return (index) => {
    const views = starts
      .filter((start) => start <= index && index < start + size)
      .map((start) => ({ start, end: start + size, weight: weights[index - start] }));
    const total = views.reduce((sum, view) => sum + view.weight, 0);
    return views.map((view) => ({ ...view, weight: view.weight / total }));
  };
}

/** ProteinGym's `get_optimal_window`: centred on a token, clamped at both ends. */
export function optimalWindow(index: number, length: number, size: number): { start: number; end: number } {
  const half = Math.floor(size / 2);
  if (length <= size) {
    return { start: 0, end: length };
  }
  if (index < half) {
    return { start: 0, end: size };
  }
  if (index >= length - half) {
    return { start: length - size, end: length };
  }
  return { start: index - half, end: index + half };
}

/**
 * Starts of ProteinGym's overlapping windows: pairs from both ends inwards, half a window apart, until they meet, and
 * one more in the middle where they overlap by less than half a window.
 */
export function overlappingWindows(length: number, size: number): number[] {
  const stride = Math.floor(size / 2) - 1;
  const starts = new Set<number>();
  let left = 0;
  let right = length - size;
  for (;;) {
    starts.add(left);
    starts.add(right);
    if (left + size - 1 > right) {
      break;
    }
    left += stride;
    right -= stride;
  }
  if (left + size - right < stride) {
    starts.add(Math.floor(length / 2) - Math.floor(size / 2));
  }
  return [...starts].sort((a, b) => a - b);
}

/** ProteinGym's weights within an overlapping window [size]: a logistic rise and fall over its outer quarters. */
export function edgeWeights(size: number): Float64Array {
  const weights = new Float64Array(size).fill(1);
  const quarter = Math.floor(size / 4);
  const scale = size / 64;
  const last = size - 2;
  for (let i = 1; i <= quarter; i++) {
    weights[i] = 1 / (1 + Math.exp(-(i - quarter / 2) / scale));
  }
  for (let i = last - quarter; i <= last; i++) {
    weights[i] = 1 / (1 + Math.exp((i - last + quarter / 2) / scale));
  }
  return weights;
}
