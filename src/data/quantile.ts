/** Quantile by linear interpolation between order statistics (numpy's default), q in [0, 1]. NaN of nothing. */
export function quantile(values: ArrayLike<number>, q: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = (sorted.length - 1) * q;
  const below = Math.floor(at);
  const a = sorted[below];
  const b = sorted[Math.min(below + 1, sorted.length - 1)];
  if (a === undefined || b === undefined) {
    return Number.NaN;
  }
  const t = at - below;
  // numpy's two-sided formula: the rounding decides which rows reach an inclusive threshold.
  return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;
}
