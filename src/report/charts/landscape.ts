import type { Chart, Look, Row, VegaLiteSpec } from '../chart.js';
import { PALETTES } from '../look.js';

/** The 20 residues from small and hydrophobic over aromatic and polar to charged: neighbours are alike. */
export const RESIDUE_ORDER = [...'GAVLIMPCFWYSTNQHKRDE'];

/** Positions in a line of the picture for a file. */
const LINE = 100;

export interface VariantScore {
  /** Position in the wild type, from 1. */
  position: number;
  wildType: string;
  mutant: string;
  score: number;
}

export interface LandscapeOptions {
  name?: string;
  title?: string;
  /** The protein's sequence; positions count from `firstPosition`. */
  wildType: string;
  firstPosition?: number;
  /** Single substitutions; cells without one stay grey. */
  variants: readonly VariantScore[];
  scoreTitle?: string;
  /** The value drawn in the neutral colour: the wild type's; default 0. */
  centre?: number;
}

/**
 * The mutation landscape: positions × 20 residues, coloured by score around the wild type's, with the wild type's
 * residue marked by a dot. For a file it breaks into lines of 100 positions; on the page it is one line that zooms.
 */
export function landscapeChart(options: LandscapeOptions): Chart {
  const first = options.firstPosition ?? 1;
  const wildType = options.wildType;
  const last = first + wildType.length - 1;
  const centre = options.centre ?? 0;
  const scoreTitle = options.scoreTitle ?? 'score';
  let extent = 0;
  for (const { score } of options.variants) {
    extent = Math.max(extent, Math.abs(score - centre));
  }
  if (extent === 0) {
    extent = 1;
  }
  const cells: Row[] = options.variants.map(({ position, wildType: from, mutant, score }) => ({
    position,
    start: position - 0.5,
    end: position + 0.5,
    residue: mutant,
    variant: `${from}${position}${mutant}`,
    score,
  }));
  const sites: Row[] = [...wildType].map((residue, index) => ({ position: first + index, residue }));

  const layers = ({ theme, interactive }: Look, from: number, to: number, data: boolean): Record<string, unknown>[] => {
    const palette = PALETTES[theme];
    const within = { filter: `datum.position >= ${from} && datum.position <= ${to}` };
    const x = {
      field: 'start',
      type: 'quantitative',
      title: data ? 'position' : null,
      scale: { domain: [from - 0.5, to + 0.5], nice: false, zero: false },
      axis: {
        grid: false,
        tickMinStep: 1,
        tickCount: Math.min(20, Math.ceil((to - from + 1) / 5)),
        format: 'd',
        labelOverlap: true,
      },
    };
    const y = {
      field: 'residue',
      type: 'nominal',
      title: data ? 'residue' : null,
      sort: RESIDUE_ORDER,
      scale: { domain: RESIDUE_ORDER, paddingInner: 0, paddingOuter: 0 },
      axis: { ticks: false, domain: false, labelFontSize: 10, labelPadding: 4 },
    };
    const site = { ...x, field: 'position' };
    return [
      {
        data: { name: 'cells' },
        ...(interactive
          ? {
              params: [
                {
                  name: 'zoom',
                  select: {
                    type: 'interval',
                    encodings: ['x'],
                    zoom: 'wheel![event.ctrlKey || event.metaKey]',
                  },
                  bind: 'scales',
                },
              ],
            }
          : { transform: [within] }),
        mark: { type: 'rect', clip: true, tooltip: true },
        encoding: {
          x,
          x2: { field: 'end' },
          y,
          color: {
            field: 'score',
            type: 'quantitative',
            scale: {
              type: 'linear',
              interpolate: 'rgb',
              domain: [centre - extent, centre - extent / 2, centre, centre + extent / 2, centre + extent],
              range: [...palette.diverging],
            },
            legend: {
              title: scoreTitle,
              gradientLength: 160,
              orient: 'top',
              direction: 'horizontal',
              format: '.2~g',
              values: [centre - extent, centre, centre + extent],
            },
          },
          tooltip: [
            { field: 'variant', title: 'variant' },
            { field: 'score', title: scoreTitle, type: 'quantitative', format: '.4~f' },
          ],
        },
      },
      {
        data: { name: 'sites' },
        ...(interactive ? {} : { transform: [within] }),
        mark: {
          type: 'circle',
          clip: true,
          color: palette.mark,
          opacity: 1,
          size: interactive ? { expr: "clamp(pow(abs(scale('x', 1) - scale('x', 0)) / 2, 2), 1, 26)" } : 10,
        },
        encoding: { x: site, y },
      },
      {
        // The wild type's letters over the columns, where there is room for them.
        data: { name: 'sites' },
        ...(interactive ? {} : { transform: [within] }),
        mark: {
          type: 'text',
          clip: false,
          fontSize: 9,
          y: -6,
          color: palette.muted,
          opacity: interactive
            ? { expr: "abs(scale('x', 1) - scale('x', 0)) > 7 && inrange(datum.position, domain('x')) ? 1 : 0" }
            : 1,
        },
        encoding: { x: site, text: { field: 'residue' } },
      },
      ...(interactive
        ? [
            {
              data: { name: 'selected' },
              mark: { type: 'rect', clip: true, fill: null, stroke: palette.mark, strokeWidth: 2, tooltip: false },
              encoding: { x, x2: { field: 'end' }, y },
            },
          ]
        : []),
    ];
  };

  return {
    name: options.name ?? 'landscape',
    title: options.title ?? 'Mutation landscape',
    description:
      `Heat map of ${options.variants.length.toLocaleString('en')} substitutions at positions ${first} to ${last} ` +
      `(columns) to each of the 20 residues (rows), coloured by ${scoreTitle}; dots mark the wild type.`,
    data: { cells, sites, selected: [] },
    interaction: { zoom: ['zoom_start'], extent: [first - 0.5, last + 0.5], cells: 'landscape' },
    spec: (look: Look): VegaLiteSpec => {
      const view = { fill: PALETTES[look.theme].missing };
      if (look.interactive) {
        return { width: 'container', height: 20 * 15, view, layer: layers(look, first, last, true) };
      }
      const lines: Record<string, unknown>[] = [];
      for (let from = first; from <= last; from += LINE) {
        const to = Math.min(last, from + LINE - 1);
        lines.push({
          width: (to - from + 1) * 9,
          height: 20 * 9,
          view,
          layer: layers(look, from, to, from + LINE > last),
        });
      }
      return { vconcat: lines, spacing: 24, resolve: { scale: { color: 'shared' } } };
    },
  };
}
