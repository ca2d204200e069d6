import type { Objective } from '../data/batches.js';
import type { ComparisonResults, CurvePoint, Spread } from '../training/comparison/results.js';
import { type LinePoint, lineChart } from './charts/lines.js';
import type { Report, ReportTable, Section } from './page.js';

const OBJECTIVES: Record<Objective, string> = { masked: 'masked residues', causal: 'next residue' };

/** The comparison of attentions: its table, learning curves, cost against length, transfer. */
export function comparisonReport(name: string, results: ComparisonResults): Report {
  const sections: Section[] = [{ kind: 'table', heading: 'Results', table: resultsTable(results) }];
  const chart = (section: Omit<Extract<Section, { kind: 'chart' }>, 'kind'>) =>
    sections.push({ kind: 'chart', ...section });
  const objectives = [...new Set(results.curves.map(({ objective }) => objective))];
  const learningCurves = (heading: string, name: string, objective: Objective, attentions?: string[]) =>
    chart({
      heading: `${heading}: ${OBJECTIVES[objective]}`,
      chart: lineChart({
        name: `${name}-${objective}`,
        title: `Validation accuracy, ${OBJECTIVES[objective]}`,
        description: `Accuracy on the validation split by training step, mean over seeds with one standard deviation.`,
        points: results.curves
          .filter((curve) => curve.objective === objective && (attentions?.includes(curve.attention) ?? true))
          .map(accuracyPoint),
        x: { title: 'step' },
        y: { title: 'validation accuracy', format: '.1%' },
      }),
    });
  for (const objective of objectives) {
    learningCurves('Learning curves', 'curves', objective);
  }
  const redrawn = results.redraws.flat();
  if (redrawn.length > 0) {
    for (const objective of objectives) {
      learningCurves('Random features, drawn anew or once', 'redraw', objective, redrawn);
    }
  }
  for (const objective of new Set(results.transfer.map((curve) => curve.objective))) {
    const transfer = results.transfer.filter((curve) => curve.objective === objective);
    const from = [...new Set(transfer.map((curve) => curve.from))];
    chart({
      heading: `Weight transfer: ${OBJECTIVES[objective]}`,
      text: `Models that begin with the weights of a trained ${from.join(', ')}, and the levels that it reached.`,
      chart: lineChart({
        name: `transfer-${objective}`,
        title: `Validation accuracy after conversion, ${OBJECTIVES[objective]}`,
        description: 'Accuracy on the validation split by step after the conversion; step 0 is the conversion itself.',
        points: [...transfer.map(accuracyPoint), ...from.flatMap((name) => levelOf(name, objective, results))],
        x: { title: 'step after conversion' },
        y: { title: 'validation accuracy', format: '.1%' },
      }),
    });
  }
  if (results.lengths.length > 0) {
    const against = (key: 'secondsPerToken' | 'peakMemory', title: string, scale: number, heading: string) =>
      chart({
        heading,
        chart: lineChart({
          name: key === 'peakMemory' ? 'memory-length' : 'time-length',
          title: heading,
          description: `${title} against sequence length, one sequence a step, both axes logarithmic.`,
          points: results.lengths.map((point) => ({
            x: point.length,
            y: point[key] * scale,
            series: point.attention,
          })),
          x: { title: 'tokens', scale: 'log' },
          y: { title, scale: 'log' },
        }),
      });
    against('secondsPerToken', 'microseconds a token', 1e6, 'Time of a training step against length');
    against('peakMemory', 'GB of the process', 1e-9, 'Memory of a training step against length');
  }
  return { title: name, subtitle: 'Comparison of attentions', sections };
}

function accuracyPoint({ attention, step, accuracy }: CurvePoint): LinePoint {
  const { mean, deviation } = accuracy;
  const ends = deviation === null ? {} : { low: mean - deviation, high: mean + deviation };
  return { x: step, y: mean, series: attention, ...ends };
}

/** What a converted model had reached before, as a level line. */
function levelOf(name: string, objective: Objective, { curves, transfer }: ComparisonResults): LinePoint[] {
  const last = Math.max(...transfer.map(({ step }) => step));
  const end = curves.filter((curve) => curve.attention === name && curve.objective === objective).at(-1);
  return end ? [0, last].map((x) => ({ x, y: end.accuracy.mean, series: `${name}, fully trained` })) : [];
}

function resultsTable({ rows }: ComparisonResults): ReportTable {
  const percent = (value: Spread | null) => show(value, 100, 1);
  const columns: [string, string, (string | number | null)[]][] = [
    ['attention', 'attention', rows.map((row) => row.attention)],
    ['objective', 'predicts', rows.map((row) => OBJECTIVES[row.objective])],
    ['testAccuracy', 'test accuracy, %', rows.map((row) => percent(row.testAccuracy))],
    ['testPerplexity', 'test perplexity', rows.map((row) => show(row.testPerplexity, 1, 2))],
    ['oodAccuracy', 'out of distribution, %', rows.map((row) => percent(row.oodAccuracy))],
    ['oodPerplexity', 'perplexity there', rows.map((row) => show(row.oodPerplexity, 1, 2))],
    ['tokensPerSecond', 'tokens/s', rows.map((row) => row.tokensPerSecond && Math.round(row.tokensPerSecond.mean))],
    ['peakMemory', 'peak memory, GB', rows.map((row) => show(row.peakMemory, 1e-9, 2))],
    ['parameters', 'parameters', rows.map((row) => row.parameters)],
    ['seeds', 'seeds', rows.map((row) => row.seeds)],
    ['diverged', 'diverged', rows.map((row) => row.diverged)],
  ];
  return { name: 'results', columns: columns.map(([name, title, values]) => ({ name, title, values })) };
}

function show(value: Spread | null, scale: number, digits: number): string | null {
  if (!value) {
    return null;
  }
  const mean = (scale * value.mean).toFixed(digits);
  return value.deviation === null ? mean : `${mean} ± ${(scale * value.deviation).toFixed(digits)}`;
}
