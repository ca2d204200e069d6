import { quantile } from '../../data/quantile.js';
import type { Chart, Look, MatrixImage, VegaLiteSpec } from '../chart.js';
import { PALETTES } from '../look.js';

export interface ResidueMatrixOptions {
  name: string;
  title: string;
  description: string;
  /** [length × length], row-major; rows are queries, columns are keys. */
  values: Float32Array;
  /** One letter a residue (or token); labels both axes. */
  sequence: string;
  valueTitle: string;
  rowTitle: string;
  columnTitle: string;
  /** The value with the strongest colour; default: the 99.5th percentile. */
  limit?: number;
  /** Below 1 lifts small values; default 0.5. */
  power?: number;
  size?: number;
}

/** The colour limit for a map: its 99.5th percentile, or its maximum where nearly everything is zero. */
export function colourLimit(values: Float32Array): number {
  const limit = quantile(values.filter(Number.isFinite), 0.995);
  if (limit > 0) {
    return limit;
  }
  let maximum = 0;
  for (const value of values) {
    maximum = Math.max(maximum, value);
  }
  return maximum || 1;
}

/** A matrix over residues × residues as an image, with the sequence along the axes and a colour scale. */
export function residueMatrixChart(options: ResidueMatrixOptions): Chart {
  const length = options.sequence.length;
  const limit = options.limit ?? colourLimit(options.values);
  const power = options.power ?? 0.5;
  const matrix: MatrixImage = { rows: length, columns: length, values: options.values, limit, power };
  return {
    name: options.name,
    title: options.title,
    description: options.description,
    data: { scale: [{ value: 0 }, { value: limit }], selected: [] },
    images: [{ fields: corners(length), matrix }],
    interaction: {
      zoom: ['zoom_left', 'zoom_top'],
      extent: [0.5, length + 0.5],
      cells: 'matrix',
      labels: {
        sequence: options.sequence,
        row: options.rowTitle,
        column: options.columnTitle,
        value: options.valueTitle,
      },
    },
    spec: (look: Look): VegaLiteSpec => residueMatrixSpec(look, options, limit, power),
  };
}

/** Where an image of `cells` × `cells` residues lies on axes that count residues from 1. */
export function corners(cells: number): Record<'left' | 'top' | 'right' | 'bottom', number> {
  return { left: 0.5, top: 0.5, right: cells + 0.5, bottom: cells + 0.5 };
}

/** The axis of a sequence: residue and position where there is room for each, as in `M1 K2`; positions elsewhere. */
export function sequenceAxis(title: string, length: number): Record<string, unknown> {
  return {
    title,
    grid: false,
    tickMinStep: 1,
    tickCount: length <= 60 ? length : 12,
    labelExpr: "slice(sequence, datum.value - 1, datum.value) + format(datum.value, 'd')",
    labelOverlap: 'parity',
    labelFontSize: length <= 60 ? 9 : 11,
  };
}

function residueMatrixSpec(
  { theme, interactive }: Look,
  options: ResidueMatrixOptions,
  limit: number,
  power: number,
): VegaLiteSpec {
  const length = options.sequence.length;
  const size = options.size ?? 480;
  const domain = [0.5, length + 0.5];
  const x = {
    field: 'left',
    type: 'quantitative',
    scale: { domain, nice: false, zero: false },
    axis: sequenceAxis(options.columnTitle, length),
  };
  const y = {
    field: 'top',
    type: 'quantitative',
    scale: { domain, nice: false, zero: false, reverse: true },
    axis: sequenceAxis(options.rowTitle, length),
  };
  return {
    width: size,
    height: size,
    params: [
      { name: 'sequence', value: options.sequence },
      { name: 'limit', value: limit },
    ],
    layer: [
      {
        data: { name: 'scale' },
        mark: { type: 'point', opacity: 0 },
        encoding: {
          color: {
            field: 'value',
            type: 'quantitative',
            scale: {
              type: 'pow',
              interpolate: 'rgb',
              exponent: power,
              domain: rampDomain(power),
              range: [...PALETTES[theme].sequential],
            },
            legend: { title: options.valueTitle, gradientLength: 160, format: '.2~g', tickCount: 4 },
          },
        },
      },
      {
        data: { name: 'images' },
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
        mark: {
          type: 'image',
          align: 'left',
          baseline: 'top',
          aspect: false,
          smooth: false,
          clip: true,
          aria: false,
          width: { expr: "scale('x', datum.right) - scale('x', datum.left)" },
          height: { expr: "scale('y', datum.bottom) - scale('y', datum.top)" },
        },
        encoding: { x, y, url: { field: 'url', type: 'nominal' } },
      },
      ...(interactive ? [selectedCell(x, y, PALETTES[theme].categories[1])] : []),
    ],
  };
}

/** Values at which the ramp's equally spaced stops lie on a power scale up to the parameter `limit`. */
function rampDomain(power: number): { expr: string }[] {
  return [0, 0.25, 0.5, 0.75, 1].map((fraction) => ({ expr: `limit * ${fraction ** (1 / power)}` }));
}

/** The outline of the cell that the keyboard or the pointer is at. */
export function selectedCell(x: object, y: object, stroke: string): Record<string, unknown> {
  return {
    data: { name: 'selected' },
    mark: { type: 'rect', clip: true, fill: null, stroke, strokeWidth: 2, tooltip: false },
    encoding: { x, x2: { field: 'right' }, y, y2: { field: 'bottom' } },
  };
}
