import type { TensorInfo, Weights } from '../../formats/weights.js';

/** A tensor as a part of a stored one, or the whole of it, under a name of its own. */
export interface TensorView {
  name: string;
  /** Default: that of the stored tensor. */
  shape?: number[];
  /** Its values from those that are stored; default: all of them. */
  pick?(values: Float32Array): Float32Array;
}

/** The first rows of a stored tensor: what a padded vocabulary has before its padding. */
export function firstRows(name: string, [rows, ...rest]: readonly number[], count: number): TensorView {
  const kept = Math.min(rows, count);
  const width = rest.reduce((product, n) => product * n, 1);
  return { name, shape: [kept, ...rest], pick: (values) => values.subarray(0, kept * width) };
}

/**
 * Weights under other names. A tensor that has its name already comes before one that is given it.
 * @param view what a stored tensor is
 */
export function viewWeights(weights: Weights, view: (name: string, shape: readonly number[]) => TensorView[]): Weights {
  const views = new Map<string, TensorView & { stored: string }>();
  for (const stored of weights.names) {
    for (const one of view(stored, weights.info(stored)!.shape)) {
      if (one.name === stored || !views.has(one.name)) {
        views.set(one.name, { ...one, stored });
      }
    }
  }
  return {
    path: weights.path,
    names: [...views.keys()],
    metadata: weights.metadata,
    info: (name): TensorInfo | undefined => {
      const found = views.get(name);
      return found && { ...weights.info(found.stored)!, ...(found.shape && { shape: found.shape }) };
    },
    read: (name, into) => {
      const found = views.get(name);
      if (!found?.pick) {
        return weights.read(found?.stored ?? name, into);
      }
      const values = found.pick(weights.read(found.stored));
      into?.set(values);
      return into ?? values;
    },
    close: () => weights.close(),
  };
}

/** Several weights as one; the first that has a tensor counts. */
export function joinWeights(all: readonly Weights[]): Weights {
  const holders = new Map<string, Weights>();
  for (const weights of all) {
    for (const name of weights.names) {
      if (!holders.has(name)) {
        holders.set(name, weights);
      }
    }
  }
  const [first] = all;
  return {
    path: first.path,
    names: [...holders.keys()],
    metadata: first.metadata,
    info: (name) => holders.get(name)?.info(name),
    read: (name, into) => (holders.get(name) ?? first).read(name, into),
    close: () => {
      for (const weights of all) {
        weights.close();
      }
    },
  };
}
