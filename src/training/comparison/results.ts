import type { Objective } from '../../data/batches.js';
import type { CellResult } from './cell.js';
import type { Cell } from './config.js';

/** Mean and standard deviation over seeds; no deviation of a single one. */
export interface Spread {
  mean: number;
  deviation: number | null;
}

/** One row of the table: an attention under one objective. */
export interface ComparisonRow {
  attention: string;
  objective: Objective;
  parameters: number | null;
  /** Runs that came to their end, and that diverged or failed. */
  seeds: number;
  diverged: number;
  failed: number;
  testAccuracy: Spread | null;
  testPerplexity: Spread | null;
  oodAccuracy: Spread | null;
  oodPerplexity: Spread | null;
  tokensPerSecond: Spread | null;
  peakMemory: Spread | null;
}

/** A point of a curve over steps: accuracy on the validation split. */
export interface CurvePoint {
  attention: string;
  objective: Objective;
  step: number;
  accuracy: Spread;
  perplexity: Spread;
}

/** All results of a comparison, as `results.json` holds them. */
export interface ComparisonResults {
  rows: ComparisonRow[];
  curves: CurvePoint[];
  /** Names of the attentions that differ only in how often their random features are drawn. */
  redraws: string[][];
  /** Curves of models converted from the attention `from`. */
  transfer: (CurvePoint & { from: string })[];
  lengths: { attention: string; length: number; secondsPerToken: number; peakMemory: number }[];
  /** Cells without a result, and why. */
  unfinished: { id: string; status: string; reason?: string }[];
}

/** The name of the empirical baseline's rows. */
export const BASELINE = 'residue frequencies';

/** Gathers what the cells say. */
export function gatherResults(
  cells: readonly Cell[],
  resultOf: (cell: Cell) => CellResult | undefined,
): ComparisonResults {
  const all = cells.map((cell) => ({ cell, result: resultOf(cell) }));
  const results: ComparisonResults = { rows: [], curves: [], redraws: [], transfer: [], lengths: [], unfinished: [] };
  const trained = all.flatMap(({ cell, result }) => (cell.kind === 'train' ? [{ cell, result }] : []));
  for (const objective of new Set(trained.map(({ cell }) => cell.objective))) {
    const own = trained.filter(({ cell }) => cell.objective === objective);
    const finished = own.flatMap(({ result }) => (result?.status === 'done' ? [result] : []));
    if (finished.length > 0) {
      const baseline = finished.map((result) => ({ status: 'done' as const, ...result.baseline }));
      results.rows.push({ ...rowOf(BASELINE, objective, baseline), seeds: 1 });
    }
    for (const attention of new Set(own.map(({ cell }) => cell.attention))) {
      const runs = own.flatMap(({ cell, result }) => (cell.attention === attention && result ? [result] : []));
      results.rows.push(rowOf(attention, objective, runs));
      results.curves.push(...curvePoints(runs).map((point) => ({ attention, objective, ...point })));
    }
  }
  const sameButRedrawn = new Map<string, Set<string>>();
  for (const { cell } of trained) {
    const key = JSON.stringify({
      ...cell.config.attention,
      ...{ redraw_interval: undefined, causal: undefined, revision: undefined },
    });
    sameButRedrawn.set(key, (sameButRedrawn.get(key) ?? new Set()).add(cell.attention));
  }
  results.redraws = [...sameButRedrawn.values()].filter(({ size }) => size > 1).map((names) => [...names]);
  const transfers = all.flatMap(({ cell, result }) => (cell.kind === 'transfer' ? [{ cell, result }] : []));
  for (const key of new Set(transfers.map(({ cell }) => JSON.stringify([cell.attention, cell.objective])))) {
    const own = transfers.filter(({ cell }) => JSON.stringify([cell.attention, cell.objective]) === key);
    const { attention, objective, from: source } = own[0].cell;
    const from = cells.find(({ id }) => id === source)?.attention ?? source;
    const runs = own.flatMap(({ result }) => (result ? [result] : []));
    results.transfer.push(...curvePoints(runs).map((point) => ({ attention, from, objective, ...point })));
  }
  for (const { cell, result } of all) {
    if (cell.kind === 'length' && result?.secondsPerStep !== undefined) {
      const secondsPerToken = result.secondsPerStep / cell.length;
      const { attention, length } = cell;
      results.lengths.push({ attention, length, secondsPerToken, peakMemory: result.peakMemory! });
    }
    if (result?.status !== 'done') {
      results.unfinished.push({ id: cell.id, status: result?.status ?? 'not begun', reason: result?.reason });
    }
  }
  return results;
}

function rowOf(attention: string, objective: Objective, runs: CellResult[]): ComparisonRow {
  const done = runs.filter(({ status }) => status === 'done');
  const over = (value: (result: CellResult) => number | undefined) =>
    spread(done.flatMap((result) => value(result) ?? []));
  const count = (status: CellResult['status']) => runs.filter((run) => run.status === status).length;
  return {
    attention,
    objective,
    parameters: done[0]?.parameters ?? null,
    seeds: done.length,
    diverged: count('diverged'),
    failed: count('failed'),
    testAccuracy: over(({ test }) => test?.accuracy),
    testPerplexity: over(({ test }) => test?.perplexity),
    oodAccuracy: over(({ ood }) => ood?.accuracy),
    oodPerplexity: over(({ ood }) => ood?.perplexity),
    tokensPerSecond: over(({ tokensPerSecond }) => tokensPerSecond),
    peakMemory: over(({ peakMemory }) => peakMemory),
  };
}

function curvePoints(runs: CellResult[]): { step: number; accuracy: Spread; perplexity: Spread }[] {
  const steps = [...new Set(runs.flatMap(({ curve = [] }) => curve.map(({ step }) => step)))].sort((a, b) => a - b);
  return steps.map((step) => {
    const figures = runs.flatMap(({ curve = [] }) => curve.filter((point) => point.step === step));
    const over = (name: 'accuracy' | 'perplexity') => spread(figures.map((point) => point[name]))!;
    return { step, accuracy: over('accuracy'), perplexity: over('perplexity') };
  });
}

/** Mean and sample standard deviation; null of nothing. */
export function spread(values: number[]): Spread | null {
  if (values.length === 0) {
    return null;
  }
  const mean = values.reduce((a, b) => a + b) / values.length;
  if (values.length === 1) {
    return { mean, deviation: null };
  }
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}
