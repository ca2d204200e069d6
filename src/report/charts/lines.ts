import type { Chart, Look, VegaLiteSpec } from '../chart.js';

export interface LinePoint {
  x: number;
  y: number;
  series: string;
  /** Ends of the spread (a confidence interval, a standard deviation) around y. */
  low?: number;
  high?: number;
}

export interface LineChartOptions {
  name: string;
  title: string;
  description: string;
  points: readonly LinePoint[];
  x: { title: string; scale?: 'linear' | 'log' };
  y: { title: string; scale?: 'linear' | 'log'; format?: string };
  /** Heading of the legend; default: none. */
  seriesTitle?: string;
  /** Points drawn on the lines; default: where a series has at most 30. */
  markers?: boolean;
  width?: number;
  height?: number;
}

/**
 * Lines over a quantity, one a series, told apart by colour and dash, with a band for the spread.
 *
 * @example
 * lineChart({ name: 'loss', title: 'Loss', description: '…', x: { title: 'step' }, y: { title: 'loss' },
 *   points: [{ x: 0, y: 3.1, series: 'training' }, { x: 100, y: 2.8, series: 'training' }] })
 */
export function lineChart(options: LineChartOptions): Chart {
  const { name, title, description, points } = options;
  const series = [...new Set(points.map((point) => point.series))];
  const longest = Math.max(0, ...series.map((one) => points.filter((point) => point.series === one).length));
  const markers = options.markers ?? longest <= 30;
  const hasSpread = points.some((point) => point.low !== undefined && point.high !== undefined);
  const format = options.y.format ?? '.4~g';
  return {
    name,
    title,
    description,
    data: { points: points.map((point) => ({ ...point })) },
    spec: ({ interactive }: Look): VegaLiteSpec => {
      const legend =
        series.length > 1
          ? { title: options.seriesTitle ?? null, symbolType: 'stroke', symbolOpacity: 1, orient: 'top' }
          : null;
      const x = {
        field: 'x',
        type: 'quantitative',
        title: options.x.title,
        scale: { ...scale(options.x.scale), nice: false, padding: 8 },
        axis: { grid: false, tickCount: 8, format: '~s' },
      };
      const y = {
        field: 'y',
        type: 'quantitative',
        title: options.y.title,
        scale: scale(options.y.scale),
        axis: { tickCount: 6, ...(options.y.format ? { format: options.y.format } : {}) },
      };
      const colour = { field: 'series', type: 'nominal', sort: series, legend };
      const tooltip = [
        { field: 'series', title: options.seriesTitle ?? 'series' },
        { field: 'x', title: options.x.title, type: 'quantitative', format: ',~r' },
        { field: 'y', title: options.y.title, type: 'quantitative', format },
        ...(hasSpread
          ? [
              { field: 'low', title: 'low', type: 'quantitative', format },
              { field: 'high', title: 'high', type: 'quantitative', format },
            ]
          : []),
      ];
      return {
        width: interactive ? 'container' : (options.width ?? 480),
        height: options.height ?? 260,
        data: { name: 'points' },
        encoding: { x, color: colour },
        layer: [
          ...(hasSpread
            ? [
                {
                  mark: { type: 'area', opacity: 0.18 },
                  encoding: { y: { ...y, field: 'low' }, y2: { field: 'high' } },
                },
              ]
            : []),
          {
            mark: { type: 'line', interpolate: 'linear' },
            encoding: { y, strokeDash: { field: 'series', type: 'nominal', sort: series, legend } },
          },
          {
            ...(interactive
              ? {
                  params: [
                    {
                      name: 'hover',
                      select: { type: 'point', on: 'pointerover', nearest: true, clear: 'pointerout' },
                    },
                  ],
                }
              : {}),
            mark: { type: 'point', filled: true, size: 45, tooltip: true },
            encoding: {
              y,
              tooltip,
              opacity: interactive
                ? { condition: { param: 'hover', empty: false, value: 1 }, value: markers ? 1 : 0 }
                : { value: markers ? 1 : 0 },
            },
          },
        ],
      };
    },
  };
}

function scale(type: 'linear' | 'log' = 'linear'): Record<string, unknown> {
  return type === 'log' ? { type } : { type, zero: false };
}
