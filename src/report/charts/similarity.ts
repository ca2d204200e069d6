import type { Chart, Look, Row, VegaLiteSpec } from '../chart.js';
import { PALETTES } from '../look.js';

export interface SimilarityOptions {
  name?: string;
  title?: string;
  /** The 20 letters, in the order of the matrices' rows and columns. */
  residues: readonly string[];
  /** [20 × 20] from the model's attention, −1 to 1. */
  similarity: Float32Array;
  /** [20 × 20] normalised BLOSUM62. */
  blosum: Float32Array;
}

/** The similarity of residues that attention shows, beside normalised BLOSUM62; both diagonals are 1. */
export function similarityChart(options: SimilarityOptions): Chart {
  const { residues } = options;
  const panels = ['attention', 'BLOSUM62, normalised'];
  const cells: Row[] = [options.similarity, options.blosum].flatMap((matrix, panel) =>
    residues.flatMap((row, i) =>
      residues.map((column, j) => ({
        panel: panels[panel],
        row,
        column,
        // The diagonal says nothing and would only stretch the colours.
        similarity: i === j ? null : matrix[i * residues.length + j],
      })),
    ),
  );
  return {
    name: options.name ?? 'similarity',
    title: options.title ?? 'Residue similarity',
    description:
      'Two heat maps of the 20 residues against each other: the similarity that the attention shows, and the ' +
      'normalised BLOSUM62 matrix.',
    data: { cells },
    spec: ({ theme }: Look): VegaLiteSpec => ({
      hconcat: panels.map((panel, index) => ({
        title: { text: panel, fontSize: 12 },
        width: 20 * 17,
        height: 20 * 17,
        view: { fill: PALETTES[theme].missing },
        data: { name: 'cells' },
        transform: [{ filter: { field: 'panel', equal: panel } }, { filter: 'isValid(datum.similarity)' }],
        mark: { type: 'rect', tooltip: true },
        encoding: {
          x: residueAxis('column', residues),
          y: residueAxis('row', residues),
          color: {
            field: 'similarity',
            type: 'quantitative',
            scale: {
              domain: limits(index === 0 ? options.similarity : options.blosum, residues.length),
              interpolate: 'rgb',
              range: [...PALETTES[theme].diverging],
            },
            legend: { title: null, orient: 'bottom', gradientLength: 160, format: '.2~g', tickCount: 5 },
          },
          tooltip: [
            { field: 'row', title: 'residue' },
            { field: 'column', title: 'with' },
            { field: 'similarity', type: 'quantitative', format: '.3f' },
          ],
        },
      })),
      resolve: { scale: { color: 'independent' } },
      spacing: 36,
    }),
  };
}

function residueAxis(field: string, residues: readonly string[]): Record<string, unknown> {
  return {
    field,
    type: 'nominal',
    sort: [...residues],
    scale: { domain: [...residues], padding: 0 },
    title: null,
    axis: { ticks: false, domain: false, labelAngle: 0 },
  };
}

/** Five stops from minus to plus the largest off-diagonal value. */
function limits(matrix: Float32Array, size: number): number[] {
  let limit = 0;
  matrix.forEach((value, cell) => {
    if (Math.floor(cell / size) !== cell % size) {
      limit = Math.max(limit, Math.abs(value));
    }
  });
  limit ||= 1;
  return [-limit, -limit / 2, 0, limit / 2, limit];
}
