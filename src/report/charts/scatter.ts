import type { Chart, Look, VegaLiteSpec } from '../chart.js';
import { PALETTES } from '../look.js';

export interface ScatterOptions {
  name: string;
  title: string;
  description: string;
  points: readonly { x: number; y: number; label: string }[];
  x: string;
  y: string;
}

/** Points of two quantities, translucent so that crowds show. */
export function scatterChart(options: ScatterOptions): Chart {
  const { name, title, description, points } = options;
  return {
    name,
    title,
    description,
    data: { points: points.map((point) => ({ ...point })) },
    spec: ({ theme, interactive }: Look): VegaLiteSpec => ({
      width: interactive ? 'container' : 480,
      height: 340,
      data: { name: 'points' },
      mark: {
        type: 'circle',
        size: points.length > 2000 ? 12 : 28,
        opacity: points.length > 2000 ? 0.35 : 0.55,
        color: PALETTES[theme].categories[0],
        tooltip: true,
      },
      encoding: {
        x: { field: 'x', type: 'quantitative', title: options.x, scale: { zero: false } },
        y: { field: 'y', type: 'quantitative', title: options.y, scale: { zero: false } },
        tooltip: [
          { field: 'label', title: 'variant' },
          { field: 'x', title: options.x, type: 'quantitative', format: '.4~g' },
          { field: 'y', title: options.y, type: 'quantitative', format: '.4~g' },
        ],
      },
    }),
  };
}
