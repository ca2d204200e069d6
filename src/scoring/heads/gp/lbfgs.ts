/** A function and its gradient at a point. */
export type Objective = (x: Float64Array) => { value: number; gradient: Float64Array };

export interface LbfgsOptions {
  /** Most iterations; default 50. */
  iterations?: number;
  /** Pairs of differences that stand for the Hessian; default 8. */
  memory?: number;
  /** Stops where an iteration gains less than this share of the value; default 1e-5. */
  tolerance?: number;
}

/**
 * A minimum by limited-memory BFGS (Liu and Nocedal 1989; the two-loop recursion of Nocedal and Wright, algorithm 7.4),
 * with a line search that backtracks until the value has fallen enough (Armijo). A value that is not finite counts as
 * too high, so the search keeps out of where the function is not defined.
 * @param start a point at which the objective is finite
 */
export function minimiseLbfgs(
  objective: Objective,
  start: ArrayLike<number>,
  options: LbfgsOptions = {},
): { x: Float64Array; value: number; iterations: number } {
  const { iterations = 50, memory = 8, tolerance = 1e-5 } = options;
  let x: Float64Array = Float64Array.from(start);
  let { value, gradient } = objective(x);
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  let iteration = 0;
  while (iteration < iterations) {
    const direction = descent(gradient, pairs);
    const slope = dot(direction, gradient);
    if (!(slope < 0)) {
      break;
    }
    // The first step has no scale yet, and no step is longer than a factor e² in any parameter of a logarithm.
    const longest = direction.reduce((most, d) => Math.max(most, Math.abs(d)), 0);
    let step = Math.min(pairs.length === 0 ? 0.5 / longest : 1, 2 / longest);
    let next: { x: Float64Array; value: number; gradient: Float64Array } | undefined;
    for (let halving = 0; halving < 20; halving++, step /= 2) {
      const candidate = x.map((v, i) => v + step * direction[i]);
      const there = objective(candidate);
      if (there.value <= value + 1e-4 * step * slope) {
        next = { x: candidate, ...there };
        break;
      }
    }
    iteration++;
    if (!next) {
      break;
    }
    const s = next.x.map((v, i) => v - x[i]);
    const y = next.gradient.map((g, i) => g - gradient[i]);
    const curvature = dot(s, y);
    if (curvature > 1e-10 * dot(y, y)) {
      pairs.push({ s, y, rho: 1 / curvature });
      if (pairs.length > memory) {
        pairs.shift();
      }
    }
    const gain = value - next.value;
    ({ x, value, gradient } = next);
    if (gain <= tolerance * Math.max(1, Math.abs(value))) {
      break;
    }
  }
  return { x, value, iterations: iteration };
}

/** −H g, H the inverse Hessian that the pairs stand for. */
function descent(
  gradient: Float64Array,
  pairs: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
  const q = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (let k = pairs.length - 1; k >= 0; k--) {
    const { s, y, rho } = pairs[k];
    alphas[k] = rho * dot(s, q);
    for (let i = 0; i < q.length; i++) {
      q[i] -= alphas[k] * y[i];
    }
  }
  const last = pairs.at(-1);
  if (last) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < q.length; i++) {
      q[i] *= scale;
    }
  }
  for (const [k, { s, y, rho }] of pairs.entries()) {
    const beta = rho * dot(y, q);
    for (let i = 0; i < q.length; i++) {
      q[i] += s[i] * (alphas[k] - beta);
    }
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    sum += a[i] * b[i];
  }
  return sum;
}
