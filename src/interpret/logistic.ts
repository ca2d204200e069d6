import * as tf from '@tensorflow/tfjs-core';

export interface LogisticOptions {
  /** Weight of each row's loss; default 1. */
  weights?: Float64Array;
  /** λ of the L1 penalty on the coefficients; the intercept is free. */
  penalty: number;
  /** Most steps. Default 100. */
  steps?: number;
  /** Where to stop: the largest violation of the optimality conditions, relative to λ. Default 1e-4. */
  tolerance?: number;
}

/**
 * L1-penalised logistic regression: the minimum of λ ‖w‖₁ + Σ weight · log(1 + exp(∓(x w + b))).
 *
 * Proximal Newton steps, each solved by coordinate descent over the features and followed by a line search (Yuan, Ho
 * and Lin 2012, "An improved GLMNET"); the features are few and the rows many, so that the Hessian is formed whole.
 * @param features [rows × features], row-major
 * @param labels [rows] of 0 and 1
 */
export async function fitLogistic(
  features: Float32Array,
  labels: Uint8Array,
  options: LogisticOptions,
): Promise<{ coefficients: Float64Array; intercept: number }> {
  const rows = labels.length;
  const count = features.length / rows;
  const size = count + 1; // The intercept is the last.
  const weights = options.weights ?? new Float64Array(rows).fill(1);
  const { penalty, steps = 100, tolerance = 1e-4 } = options;
  const w = new Float64Array(size);
  let margins = new Float64Array(rows);
  const x = tf.tensor2d(features, [rows, count]);

  const objective = (candidate: Float64Array, at: Float64Array): number => {
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      const signed = labels[row] ? -at[row] : at[row];
      sum += weights[row] * (signed > 30 ? signed : Math.log1p(Math.exp(signed)));
    }
    for (let k = 0; k < count; k++) {
      sum += penalty * Math.abs(candidate[k]);
    }
    return sum;
  };
  const product = (vector: Float64Array): Float64Array => {
    const result = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      let sum = vector[count];
      for (let k = 0, at = row * count; k < count; k++, at++) {
        sum += features[at] * vector[k];
      }
      result[row] = sum;
    }
    return result;
  };

  let current = objective(w, margins);
  for (let step = 0; step < steps; step++) {
    const gradient = new Float64Array(size);
    const curvature = new Float32Array(rows);
    const cross = new Float64Array(size);
    for (let row = 0; row < rows; row++) {
      const p = 1 / (1 + Math.exp(-margins[row]));
      const slope = weights[row] * (p - labels[row]);
      const bend = weights[row] * Math.max(p * (1 - p), 1e-9);
      curvature[row] = bend;
      for (let k = 0, at = row * count; k < count; k++, at++) {
        gradient[k] += slope * features[at];
        cross[k] += bend * features[at];
      }
      gradient[count] += slope;
      cross[count] += bend;
    }
    if (violation(gradient, w, penalty, count) <= tolerance * penalty) {
      break;
    }
    const hessian = new Float64Array(size * size);
    const gram = tf.tidy(() => tf.matMul(x, tf.mul(x, tf.reshape(tf.tensor1d(curvature), [rows, 1])), true, false));
    const values = await gram.data();
    gram.dispose();
    for (let k = 0; k < count; k++) {
      for (let l = 0; l < count; l++) {
        hessian[k * size + l] = values[k * count + l];
      }
      hessian[k * size + count] = cross[k];
      hessian[count * size + k] = cross[k];
    }
    hessian[count * size + count] = cross[count];
    const direction = newtonDirection(hessian, gradient, w, penalty, count);
    const change = product(direction);
    // Armijo's rule with the decrease that the model promises.
    let promised = 0;
    for (let k = 0; k < size; k++) {
      promised += gradient[k] * direction[k];
    }
    for (let k = 0; k < count; k++) {
      promised += penalty * (Math.abs(w[k] + direction[k]) - Math.abs(w[k]));
    }
    if (promised > -1e-12 * Math.max(1, current)) {
      break;
    }
    let length = 1;
    for (; length > 1e-10; length /= 2) {
      const candidate = w.map((value, k) => value + length * direction[k]);
      const at = margins.map((value, row) => value + length * change[row]);
      const next = objective(candidate, at);
      if (next <= current + 0.01 * length * promised) {
        w.set(candidate);
        margins = at;
        current = next;
        break;
      }
    }
    if (length <= 1e-10) {
      break;
    }
  }
  x.dispose();
  return { coefficients: w.slice(0, count), intercept: w[count] };
}

/** The largest violation of the conditions of a minimum: 0 within the subdifferential. */
function violation(gradient: Float64Array, w: Float64Array, penalty: number, count: number): number {
  let largest = Math.abs(gradient[count]);
  for (let k = 0; k < count; k++) {
    const own =
      w[k] === 0 ? Math.max(0, Math.abs(gradient[k]) - penalty) : Math.abs(gradient[k] + Math.sign(w[k]) * penalty);
    largest = Math.max(largest, own);
  }
  return largest;
}

/** Minimises the quadratic model plus the penalty over the step, coordinate by coordinate. */
function newtonDirection(
  hessian: Float64Array,
  gradient: Float64Array,
  w: Float64Array,
  penalty: number,
  count: number,
): Float64Array {
  const size = count + 1;
  const direction = new Float64Array(size);
  const slopes = Float64Array.from(gradient); // gradient + hessian · direction
  for (let pass = 0; pass < 1000; pass++) {
    let largest = 0;
    for (let k = 0; k < size; k++) {
      const bend = hessian[k * size + k] + 1e-12;
      const target = w[k] + direction[k] - slopes[k] / bend;
      const shrunk = k < count ? Math.sign(target) * Math.max(0, Math.abs(target) - penalty / bend) : target;
      const move = shrunk - w[k] - direction[k];
      if (move === 0) {
        continue;
      }
      direction[k] += move;
      for (let l = 0; l < size; l++) {
        slopes[l] += hessian[k * size + l] * move;
      }
      largest = Math.max(largest, Math.abs(move) * Math.sqrt(bend));
    }
    if (largest < 1e-7) {
      break;
    }
  }
  return direction;
}
