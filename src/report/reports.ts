import type { Chart } from './chart.js';
import { contactMapChart } from './charts/contacts.js';
import { landscapeChart, RESIDUE_ORDER, type VariantScore } from './charts/landscape.js';
import { type LinePoint, lineChart } from './charts/lines.js';
import { scatterChart } from './charts/scatter.js';
import { similarityChart } from './charts/similarity.js';
import type { Report, Section } from './page.js';

/** A line of a run's `metrics.jsonl`. */
export interface TrainingLine {
  step: number;
  tokens: number;
  loss: number;
  accuracy: number;
  perplexity: number;
  learningRate: number;
  gradientNorm: number;
  tokensPerSecond: number;
  validation?: { loss: number; accuracy: number; perplexity: number };
}

/** Points of a curve; longer ones are drawn as means of as many neighbours as it takes. */
const MOST_POINTS = 600;

/**
 * The curves of a training run: loss, accuracy and perplexity in training and validation, learning rate, gradient
 * norm, throughput.
 */
export function trainingReport(name: string, lines: readonly TrainingLine[], facts: Report['facts'] = []): Report {
  const last = lines.at(-1);
  const validated = lines.filter((line) => line.validation);
  const figure = (
    key: 'loss' | 'accuracy' | 'perplexity',
    heading: string,
    description: string,
    scale: 'linear' | 'log' = 'linear',
  ): Section => ({
    kind: 'chart',
    heading,
    chart: curve(
      key,
      heading,
      description,
      [
        ...thin(lines.map((line) => ({ x: line.step, y: line[key], series: 'training' }))),
        ...validated.map((line) => ({ x: line.step, y: line.validation![key], series: 'validation' })),
      ],
      scale,
    ),
  });
  const single = (key: 'learningRate' | 'gradientNorm' | 'tokensPerSecond', heading: string): Section => ({
    kind: 'chart',
    heading,
    chart: curve(
      key,
      heading,
      `${heading} over training steps.`,
      thin(lines.map((line) => ({ x: line.step, y: line[key], series: heading }))),
    ),
  });
  const best = validated.reduce<TrainingLine | undefined>(
    (low, line) => (!low || line.validation!.loss < low.validation!.loss ? line : low),
    undefined,
  );
  return {
    title: name,
    subtitle: 'Training run',
    facts: [
      ...facts,
      ...(last
        ? ([
            ['Steps', last.step.toLocaleString('en')],
            ['Tokens', last.tokens.toLocaleString('en')],
            ['Training loss', last.loss.toFixed(4)],
            ['Training accuracy', percent(last.accuracy)],
          ] as const)
        : []),
      ...(best
        ? ([
            ['Best validation loss', `${best.validation!.loss.toFixed(4)} at step ${best.step.toLocaleString('en')}`],
            ['Its accuracy', percent(best.validation!.accuracy)],
          ] as const)
        : []),
    ],
    sections: [
      figure('loss', 'Loss', 'Cross-entropy of masked residues in nats, over training steps.'),
      figure('accuracy', 'Accuracy', 'Share of masked residues predicted right, over training steps.'),
      figure('perplexity', 'Perplexity', 'Perplexity of masked residues, over training steps.', 'log'),
      single('learningRate', 'Learning rate'),
      single('gradientNorm', 'Gradient norm'),
      single('tokensPerSecond', 'Tokens per second'),
    ],
  };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function curve(
  name: string,
  title: string,
  description: string,
  points: LinePoint[],
  scale: 'linear' | 'log' = 'linear',
): Chart {
  const finite = points.filter(({ y }) => Number.isFinite(y));
  return lineChart({
    name,
    title,
    description,
    points: finite,
    x: { title: 'step' },
    y: { title: title.toLowerCase(), scale },
  });
}

/** At most MOST_POINTS points: means of equally long runs of neighbours. */
function thin(points: LinePoint[]): LinePoint[] {
  const run = Math.ceil(points.length / MOST_POINTS);
  if (run <= 1) {
    return points;
  }
  const result: LinePoint[] = [];
  for (let first = 0; first < points.length; first += run) {
    const part = points.slice(first, first + run);
    result.push({ ...part.at(-1)!, y: part.reduce((sum, { y }) => sum + y, 0) / part.length });
  }
  return result;
}

export interface ScoredProtein {
  id: string;
  /** The wild type; positions that no variant and no FASTA file names are X. */
  wildType: string;
  firstPosition: number;
  rows: readonly ScoredVariant[];
}

/** A variant of any kind; `substitution` where it is a single one. */
export interface ScoredVariant {
  variant: string;
  score: number | null;
  measured?: number | null;
  substitution?: Omit<VariantScore, 'score'>;
}

/** The mutation landscape of each protein with the table of its variants, and the assay where there is one. */
export function scoresReport(
  title: string,
  proteins: readonly (ScoredProtein & { spearman?: number })[],
  scoreTitle = 'score',
): Report {
  const many = proteins.length > 1;
  const sections = proteins.flatMap((protein, index): Section[] => {
    const { id, rows, wildType, firstPosition, spearman } = protein;
    const suffix = many ? `-${index + 1}` : '';
    const singles = rows.flatMap(({ substitution, score }) =>
      substitution && score !== null && RESIDUE_ORDER.includes(substitution.mutant) ? [{ ...substitution, score }] : [],
    );
    const measured = rows.some((row) => typeof row.measured === 'number');
    const table = {
      name: `variants${suffix}`,
      sort: { column: 'score', descending: true },
      columns: [
        { name: 'variant', values: rows.map((row) => row.variant) },
        { name: 'position', values: rows.map((row) => row.substitution?.position ?? null) },
        { name: 'wildType', title: 'wild type', values: rows.map((row) => row.substitution?.wildType ?? '') },
        { name: 'mutant', values: rows.map((row) => row.substitution?.mutant ?? '') },
        { name: 'score', title: scoreTitle, values: rows.map((row) => row.score) },
        ...(measured ? [{ name: 'measured', values: rows.map((row) => row.measured ?? null) }] : []),
      ],
    };
    const landscape: Section =
      singles.length === 0
        ? { kind: 'table', heading: many ? id : 'Variants', table }
        : {
            kind: 'landscape',
            heading: many ? id : 'Mutation landscape',
            text:
              `Blue cells score above the wild type, orange ones below. Dots mark the wild type's residue, ` +
              'grey cells have no score. Choosing a cell shows its row, choosing a row shows its cell.',
            chart: landscapeChart({
              name: `landscape${suffix}`,
              wildType,
              firstPosition,
              variants: singles,
              scoreTitle,
            }),
            table,
          };
    if (!measured) {
      return [landscape];
    }
    const points = rows.flatMap(({ variant, score, measured: value }) =>
      score !== null && typeof value === 'number' ? [{ x: score, y: value, label: variant }] : [],
    );
    const correlation = spearman === undefined ? '' : ` Spearman's correlation: ${spearman.toFixed(3)}.`;
    return [
      landscape,
      {
        kind: 'chart',
        heading: many ? `${id}: against the assay` : 'Against the assay',
        text: `Each point is a variant.${correlation}`,
        chart: scatterChart({
          name: `assay${suffix}`,
          title: 'Against the assay',
          description: `Score against measured value of ${points.length.toLocaleString('en')} variants.${correlation}`,
          points,
          x: scoreTitle,
          y: 'measured',
        }),
      },
    ];
  });
  const total = proteins.reduce((sum, { rows }) => sum + rows.length, 0);
  const only = proteins.length === 1 ? proteins[0] : undefined;
  return {
    title,
    subtitle: 'Scores of mutations',
    facts: [
      ...(only ? ([['Protein', only.id]] as const) : ([['Proteins', proteins.length]] as const)),
      ['Variants', total.toLocaleString('en')],
      ...(only?.spearman === undefined ? [] : ([['Spearman', only.spearman.toFixed(3)]] as const)),
    ],
    sections,
  };
}

/** Attention maps of proteins, by layer and head (counted from 1). */
export function mapsReport(
  title: string,
  proteins: readonly {
    id: string;
    sequence: string;
    layers: readonly (number | 'mean')[];
    heads: readonly (number | 'mean')[];
    maps: readonly Float32Array[];
  }[],
): Report {
  const many = proteins.length > 1;
  const below = (index: number | 'mean') => (index === 'mean' ? index : index - 1);
  return {
    title,
    subtitle: 'Attention maps',
    facts: proteins.map(({ id, sequence }) => [id, `${sequence.length} residues`] as const),
    sections: proteins.map(
      ({ id, sequence, layers, heads, maps }, index): Section => ({
        kind: 'attention',
        heading: many ? id : 'Attention',
        text: 'Each row shows where a residue attends to. Colours of every map reach up to its own 99.5th percentile.',
        name: many ? `attention-${index + 1}` : 'attention',
        sequence,
        maps: layers.flatMap((layer, l) =>
          heads.map((head, h) => ({ layer: below(layer), head: below(head), values: maps[l * heads.length + h] })),
        ),
      }),
    ),
  };
}

/** Predicted contacts of proteins, over a structure's where it is known. */
export function contactsReport(
  title: string,
  proteins: readonly {
    id: string;
    sequence: string;
    /** 0-based, i < j. */
    predicted: readonly { i: number; j: number; probability: number }[];
    structure?: readonly (readonly [number, number])[];
  }[],
): Report {
  return {
    title,
    subtitle: 'Predicted contacts',
    facts: proteins.map(({ id, sequence }) => [id, `${sequence.length} residues`] as const),
    sections: proteins.flatMap(({ id, sequence, predicted, structure }, index): Section[] => {
      const suffix = proteins.length > 1 ? `-${index + 1}` : '';
      const known = structure && new Set(structure.map(([i, j]) => i * sequence.length + j));
      const right = predicted.filter(({ i, j }) => known?.has(i * sequence.length + j)).length;
      return [
        {
          kind: 'chart',
          heading: proteins.length > 1 ? id : 'Contacts',
          text: known
            ? `${right} of ${predicted.length} predicted pairs are contacts in the structure (C-beta under 8 Å).`
            : 'Pairs of residues that the attention says are in contact.',
          chart: contactMapChart({ name: `contacts${suffix}`, sequence, predicted, structure }),
        },
        {
          kind: 'table',
          heading: proteins.length > 1 ? `${id}: pairs` : 'Pairs',
          table: {
            name: `pairs${suffix}`,
            columns: [
              { name: 'pair', values: predicted.map(({ i, j }) => `${sequence[i]}${i + 1} ${sequence[j]}${j + 1}`) },
              { name: 'i', values: predicted.map(({ i }) => i + 1) },
              { name: 'j', values: predicted.map(({ j }) => j + 1) },
              { name: 'separation', values: predicted.map(({ i, j }) => j - i) },
              { name: 'probability', values: predicted.map(({ probability }) => probability) },
              ...(known
                ? [
                    {
                      name: 'contact',
                      values: predicted.map(({ i, j }) => (known.has(i * sequence.length + j) ? 'yes' : 'no')),
                    },
                  ]
                : []),
            ],
          },
        },
      ];
    }),
  };
}

/** Residue similarity beside BLOSUM62, from a row a pair. */
export function similarityReport(
  title: string,
  pairs: readonly { a: string; b: string; attention: number; blosum: number }[],
  correlation: { pearson: number; spearman: number },
): Report {
  const matrix = (value: 'attention' | 'blosum'): Float32Array => {
    const cells = new Float32Array(400);
    for (const pair of pairs) {
      const [i, j] = [RESIDUE_ORDER.indexOf(pair.a), RESIDUE_ORDER.indexOf(pair.b)];
      cells[i * 20 + j] = pair[value];
      cells[j * 20 + i] = pair[value];
    }
    for (let i = 0; i < 20; i++) {
      cells[i * 21] = 1;
    }
    return cells;
  };
  return {
    title,
    subtitle: 'Residue similarity',
    facts: [
      ['Pearson with BLOSUM62', correlation.pearson.toFixed(3)],
      ['Spearman', correlation.spearman.toFixed(3)],
    ],
    sections: [
      {
        kind: 'chart',
        heading: 'Residue similarity',
        text: 'Correlation, over all heads, of the attention that two residues receive, beside normalised BLOSUM62.',
        chart: similarityChart({
          residues: RESIDUE_ORDER,
          similarity: matrix('attention'),
          blosum: matrix('blosum'),
        }),
      },
      {
        kind: 'chart',
        heading: 'Pair by pair',
        chart: scatterChart({
          name: 'similarity-pairs',
          title: 'Pair by pair',
          description: 'Similarity by attention against normalised BLOSUM62 of the 190 pairs of residues.',
          points: pairs.map(({ a, b, attention, blosum }) => ({ x: blosum, y: attention, label: `${a}, ${b}` })),
          x: 'BLOSUM62, normalised',
          y: 'similarity by attention',
        }),
      },
      {
        kind: 'table',
        heading: 'Pairs',
        table: {
          name: 'similar-pairs',
          sort: { column: 'attention', descending: true },
          columns: [
            { name: 'pair', values: pairs.map(({ a, b }) => `${a} ${b}`) },
            { name: 'attention', values: pairs.map(({ attention }) => attention) },
            { name: 'blosum62', title: 'BLOSUM62', values: pairs.map(({ blosum }) => blosum) },
          ],
        },
      },
    ],
  };
}

/** The errors of random features against exact attention, as curves over their number. */
export function approximationReport(
  title: string,
  errors: readonly {
    features: string;
    estimator: string;
    count: number;
    matrix: readonly [mean: number, low: number, high: number];
    output: readonly [mean: number, low: number, high: number];
  }[],
): Report {
  const chart = (name: string, heading: string, key: 'matrix' | 'output', y: string): Section => ({
    kind: 'chart',
    heading,
    chart: approximationChart({ name, title: heading, errors, key, y }),
  });
  return {
    title,
    subtitle: 'Random features against exact softmax attention',
    sections: [
      chart('output-error', 'Error of the output', 'output', 'mean squared error'),
      chart('matrix-error', 'Error of the matrix', 'matrix', 'relative squared error'),
    ],
  };
}

/** Error over the number of features, a line for each kind, with its 95 % interval as a band. */
export function approximationChart(options: {
  name: string;
  title: string;
  errors: Parameters<typeof approximationReport>[1];
  key: 'matrix' | 'output';
  y: string;
}): Chart {
  return lineChart({
    name: options.name,
    title: options.title,
    description: `${options.title} over the number of random features, both axes logarithmic, with 95 % intervals.`,
    points: options.errors.map((error) => ({
      x: error.count,
      y: error[options.key][0],
      low: error[options.key][1],
      high: error[options.key][2],
      series: `${error.estimator}, ${error.features}`,
    })),
    x: { title: 'number of features', scale: 'log' },
    y: { title: options.y, scale: 'log', format: '.1~e' },
    markers: true,
  });
}
