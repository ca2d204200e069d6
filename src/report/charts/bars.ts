import type { Chart, Look, VegaLiteSpec } from '../chart.js';

export interface Bar {
  label: string;
  value: number;
  /** Ends of the spread (a confidence interval, a standard deviation) around the value. */
  low?: number;
  high?: number;
  /** Bars of one label stand side by side, one a series. */
  series?: string;
}

export interface BarChartOptions {
  name: string;
  title: string;
  description: string;
  bars: readonly Bar[];
  value: { title: string; format?: string };
  labelTitle?: string;
  seriesTitle?: string;
  width?: number;
}

/** Horizontal bars in the given order, with a whisker for the spread. */
export function barChart(options: BarChartOptions): Chart {
  const { name, title, description, bars } = options;
  const labels = [...new Set(bars.map((bar) => bar.label))];
  const series = [...new Set(bars.map((bar) => bar.series ?? ''))];
  const hasSpread = bars.some((bar) => bar.low !== undefined && bar.high !== undefined);
  const format = options.value.format ?? '.3~f';
  return {
    name,
    title,
    description,
    data: { bars: bars.map((bar) => ({ ...bar, series: bar.series ?? '' })) },
    spec: ({ interactive, theme }: Look): VegaLiteSpec => {
      const many = series.length > 1;
      const tooltip = [
        { field: 'label', title: options.labelTitle ?? 'label' },
        ...(many ? [{ field: 'series', title: options.seriesTitle ?? 'series' }] : []),
        { field: 'value', title: options.value.title, type: 'quantitative', format },
        ...(hasSpread
          ? [
              { field: 'low', title: 'low', type: 'quantitative', format },
              { field: 'high', title: 'high', type: 'quantitative', format },
            ]
          : []),
      ];
      const value = { field: 'value', type: 'quantitative', title: options.value.title, axis: { tickCount: 6 } };
      return {
        width: interactive ? 'container' : (options.width ?? 480),
        height: { step: many ? 14 : 24 },
        data: { name: 'bars' },
        encoding: {
          y: {
            field: 'label',
            type: 'nominal',
            sort: labels,
            title: options.labelTitle ?? null,
            axis: { ticks: false, domain: false, labelLimit: 240 },
          },
          ...(many ? { yOffset: { field: 'series', type: 'nominal', sort: series } } : {}),
        },
        layer: [
          {
            mark: { type: 'bar', cornerRadiusEnd: 2, tooltip: true },
            encoding: {
              x: value,
              tooltip,
              ...(many
                ? {
                    color: {
                      field: 'series',
                      type: 'nominal',
                      sort: series,
                      legend: { title: options.seriesTitle ?? null, orient: 'top' },
                    },
                  }
                : {}),
            },
          },
          ...(hasSpread
            ? [
                {
                  mark: { type: 'rule', strokeWidth: 1.5, color: theme === 'dark' ? '#f4f6f8' : '#1b1f24' },
                  encoding: { x: { ...value, field: 'low' }, x2: { field: 'high' } },
                },
              ]
            : []),
        ],
      };
    },
  };
}
