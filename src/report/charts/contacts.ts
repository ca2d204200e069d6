import type { Chart, Look, Row, VegaLiteSpec } from '../chart.js';
import { PALETTES } from '../look.js';
import { sequenceAxis } from './matrix.js';

export interface ContactMapOptions {
  name?: string;
  title?: string;
  sequence: string;
  /** Predicted contacts, strongest first, 0-based, i < j; drawn above the diagonal. */
  predicted: readonly { i: number; j: number; probability: number }[];
  /** The structure's contacts, 0-based; drawn in grey on both sides of the diagonal. */
  structure?: readonly (readonly [number, number])[];
}

/**
 * Predicted contacts over a structure's: grey squares are the structure's contacts; a prediction is a circle where
 * it is one of them and a cross where it is not, so that shape tells them apart as well as colour.
 */
export function contactMapChart(options: ContactMapOptions): Chart {
  const { sequence, predicted, structure } = options;
  const length = sequence.length;
  const known = new Set(structure?.map(([i, j]) => `${Math.min(i, j)} ${Math.max(i, j)}`));
  const label = (index: number): string => `${sequence[index]}${index + 1}`;
  const contacts: Row[] = [...known].flatMap((pair) => {
    const [i, j] = pair.split(' ').map(Number) as [number, number];
    const fields = { pair: `${label(i)}, ${label(j)}`, distance: j - i };
    return [
      { ...fields, x: i + 1, y: j + 1 },
      { ...fields, x: j + 1, y: i + 1 },
    ];
  });
  const verdicts = structure ? ['contact in the structure', 'no contact in the structure'] : ['predicted'];
  const predictions: Row[] = predicted.map(({ i, j, probability }) => ({
    x: j + 1,
    y: i + 1,
    pair: `${label(i)}, ${label(j)}`,
    probability,
    verdict: structure && !known.has(`${i} ${j}`) ? verdicts[1] : verdicts[0],
  }));
  return {
    name: options.name ?? 'contacts',
    title: options.title ?? 'Contacts',
    description:
      `Map of ${length} × ${length} residues with ${predicted.length.toLocaleString('en')} predicted contacts` +
      (structure ? ` over ${known.size.toLocaleString('en')} contacts of the structure.` : '.'),
    data: { contacts, predictions, diagonal: [{ at: 0.5 }, { at: length + 0.5 }] },
    interaction: { zoom: ['zoom_x', 'zoom_y'], extent: [0.5, length + 0.5] },
    spec: ({ theme, interactive }: Look): VegaLiteSpec => {
      const palette = PALETTES[theme];
      const scale = { domain: [0.5, length + 0.5], nice: false, zero: false };
      const x = { field: 'x', type: 'quantitative', scale, axis: sequenceAxis('residue', length) };
      const y = { ...x, field: 'y', scale: { ...scale, reverse: true } };
      const side = 480;
      const cell = interactive
        ? { expr: "clamp(pow(scale('x', 2) - scale('x', 1), 2), 3, 200)" }
        : Math.min(200, Math.max(3, (side / length) ** 2));
      return {
        width: side,
        height: side,
        params: [{ name: 'sequence', value: sequence }],
        layer: [
          {
            data: { name: 'contacts' },
            ...(interactive
              ? {
                  params: [
                    {
                      name: 'zoom',
                      select: { type: 'interval', zoom: 'wheel![event.ctrlKey || event.metaKey]' },
                      bind: 'scales',
                    },
                  ],
                }
              : {}),
            mark: { type: 'square', filled: true, opacity: 1, color: palette.known, size: cell, clip: true },
            encoding: {
              x,
              y,
              tooltip: [
                { field: 'pair', title: 'structure' },
                { field: 'distance', title: 'separation', type: 'quantitative' },
              ],
            },
          },
          {
            data: { name: 'diagonal' },
            mark: { type: 'line', strokeWidth: 1, color: palette.muted, clip: true },
            encoding: { x: { ...x, field: 'at' }, y: { ...y, field: 'at' } },
          },
          {
            data: { name: 'predictions' },
            mark: { type: 'point', opacity: 1, strokeWidth: 1.6, clip: true, size: interactive ? 26 : 22 },
            encoding: {
              x,
              y,
              color: {
                field: 'verdict',
                type: 'nominal',
                scale: {
                  domain: verdicts,
                  range: [palette.categories[0], palette.categories[1]].slice(0, verdicts.length),
                },
                legend: { title: null, orient: 'top', columns: 2, labelLimit: 240 },
              },
              shape: {
                field: 'verdict',
                type: 'nominal',
                scale: { domain: verdicts, range: ['circle', 'M-1,-1L1,1M-1,1L1,-1'].slice(0, verdicts.length) },
              },
              tooltip: [
                { field: 'pair', title: 'predicted' },
                { field: 'probability', type: 'quantitative', format: '.3f' },
                { field: 'verdict', title: 'verdict' },
              ],
            },
          },
        ],
      };
    },
  };
}
