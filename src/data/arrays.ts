/**
 * Appends `items` to `to`. `to.push(...items)` passes each as an argument, and over some 100,000 of them are more than
 * the stack holds.
 */
export function append<T>(to: T[], items: Iterable<T>): void {
  for (const item of items) {
    to.push(item);
  }
}

/** The least and the greatest of `values`, however many: [Infinity, -Infinity] of none. */
export function extent(values: Iterable<number>): [least: number, greatest: number] {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  return [least, greatest];
}
