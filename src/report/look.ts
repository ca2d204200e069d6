/**
 * Colours and type of every chart and page, light and dark.
 *
 * The categorical colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), the diverging ramp runs from
 * orange to blue and the sequential one in lightness, so that all of them stay apart in the common forms of
 * colour blindness and in greyscale.
 */
export type Theme = 'light' | 'dark';

export interface Palette {
  background: string;
  ink: string;
  muted: string;
  grid: string;
  /** Fill of cells without a value. */
  missing: string;
  /** What is known, beneath what is predicted. */
  known: string;
  /** The mark of the wild type and of selections: readable on every colour of both ramps. */
  mark: string;
  categories: readonly string[];
  /** From the lowest to the highest value, through a neutral middle at zero. */
  diverging: readonly string[];
  /** From zero (the page's background) upwards. */
  sequential: readonly string[];
}

export const PALETTES: Readonly<Record<Theme, Palette>> = {
  light: {
    background: '#ffffff',
    ink: '#1b1f24',
    muted: '#57606a',
    grid: '#e3e6ea',
    missing: '#d3d7dc',
    known: '#adb5bf',
    mark: '#1b1f24',
    categories: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#a07000', '#56b4e9', '#1b1f24'],
    diverging: ['#8f3b00', '#e08a3c', '#f7f5f2', '#5aa0d0', '#084a86'],
    sequential: ['#ffffff', '#c3dbef', '#6aaed6', '#2070b4', '#08306b'],
  },
  dark: {
    background: '#14171c',
    ink: '#e6e9ed',
    muted: '#9aa4b0',
    grid: '#2c323a',
    missing: '#343a43',
    known: '#566070',
    mark: '#f4f6f8',
    categories: ['#56b4e9', '#e69f00', '#2fc49b', '#e39cc4', '#f0e442', '#9aa4ff', '#e6e9ed'],
    diverging: ['#ffc48a', '#c8691b', '#1d2127', '#2f7fb8', '#a5d8ff'],
    sequential: ['#14171c', '#173a5c', '#1f6fa8', '#59b6e8', '#eaf6ff'],
  },
};

export const FONT = "'Open Sans', system-ui, sans-serif";

/** The Vega-Lite `config` that gives a chart a theme's colours. */
export function vegaConfig(theme: Theme): Record<string, unknown> {
  const palette = PALETTES[theme];
  const text = { labelColor: palette.muted, titleColor: palette.ink, labelFont: FONT, titleFont: FONT };
  return {
    background: palette.background,
    font: FONT,
    padding: 8,
    view: { stroke: null },
    axis: {
      ...text,
      domainColor: palette.muted,
      tickColor: palette.muted,
      gridColor: palette.grid,
      labelFontSize: 11,
      titleFontSize: 12,
      titleFontWeight: 600,
      titlePadding: 8,
    },
    legend: { ...text, labelFontSize: 11, titleFontSize: 12, titleFontWeight: 600, symbolStrokeWidth: 2 },
    header: { ...text, labelFontSize: 12, labelFontWeight: 600 },
    title: { color: palette.ink, subtitleColor: palette.muted, font: FONT, fontSize: 14, anchor: 'start', offset: 10 },
    text: { color: palette.ink, font: FONT },
    range: { category: [...palette.categories], diverging: [...palette.diverging], heatmap: [...palette.sequential] },
    line: { strokeWidth: 2 },
  };
}

/**
 * The colour of `fraction` (0 to 1) on a ramp, as red, green and blue of 0 to 255, linear between the ramp's stops.
 *
 * @example
 * rampColour(['#000000', '#ffffff'], 0.5) // [128, 128, 128]
 */
export function rampColour(ramp: readonly string[], fraction: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, fraction)) * (ramp.length - 1);
  const low = Math.min(ramp.length - 2, Math.floor(at));
  const rest = at - low;
  const channel = (shift: number): number => {
    const from = (Number.parseInt(ramp[low].slice(1), 16) >> shift) & 255;
    const to = (Number.parseInt(ramp[low + 1].slice(1), 16) >> shift) & 255;
    return Math.round(from + (to - from) * rest);
  };
  return [channel(16), channel(8), channel(0)];
}
