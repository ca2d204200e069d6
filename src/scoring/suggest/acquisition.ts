/** What a candidate is worth making: what is expected of it, and how much may be learnt. */
export const ACQUISITIONS = ['mean', 'ei', 'ucb', 'thompson'] as const;
export type Acquisition = (typeof ACQUISITIONS)[number];

/** ∫ of the standard normal density up to z (Abramowitz and Stegun 7.1.26, to 1.5e-7). */
export function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - series * Math.exp(-x * x);
  return z < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}

/** Expected improvement over the best value so far (Jones, Schonlau and Welch 1998): (μ − best) Φ(z) + σ φ(z). */
export function expectedImprovement(mean: number, deviation: number, best: number): number {
  if (!(deviation > 0)) {
    return Math.max(0, mean - best);
  }
  const z = (mean - best) / deviation;
  return (mean - best) * normalCdf(z) + (deviation * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Upper confidence bound (Srinivas et al. 2010): μ + κ σ. */
export function upperConfidenceBound(mean: number, deviation: number, kappa: number): number {
  return mean + kappa * deviation;
}
