import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { landscapeChart } from '../../src/report/charts/landscape.js';
import { lineChart } from '../../src/report/charts/lines.js';
import { residueMatrixChart } from '../../src/report/charts/matrix.js';
import { PALETTES, rampColour } from '../../src/report/look.js';
import { matrixToDataUrl, shrinkMatrix } from '../../src/report/matrix-image.js';
import { reportCharts } from '../../src/report/page.js';
import { chartToPng, chartToSvg } from '../../src/report/render.js';
import { sampleReport, sampleVariants } from './sample.js';

describe('charts as files', () => {
  it.each(reportCharts(sampleReport(120, 40)).map((chart) => [chart.name, chart] as const))(
    'draws %s as SVG and PNG in both themes',
    async (_, chart) => {
      for (const theme of ['light', 'dark'] as const) {
        const svg = await chartToSvg(chart, theme);
        expect(svg).toMatch(/^<svg [^>]*xmlns=/);
        expect(svg).not.toMatch(/NaN|undefined/);
        expect(svg).toContain(PALETTES[theme].background);
        const png = decode(await chartToPng(chart, theme, 1));
        expect(png.width).toBeGreaterThan(100);
        const [red, green, blue] = png.data;
        expect([red, green, blue]).toEqual(rampColour([PALETTES[theme].background, '#000000'], 0));
      }
    },
  );

  it('gives each variant of a landscape its cell and each position its dot and letter', async () => {
    const { sequence, variants } = sampleVariants(130);
    const svg = await chartToSvg(landscapeChart({ wildType: sequence, variants }));
    const cells = svg.match(
      /aria-label="start: [^"]*" [^>]*aria-roledescription="rect mark"|aria-roledescription="rect mark"/g,
    );
    expect(cells).toHaveLength(variants.length);
    expect(svg.match(/aria-roledescription="circle"/g)).toHaveLength(130);
    expect(svg.match(/aria-roledescription="text mark"/g)).toHaveLength(130);
  });

  it('writes text with the font that comes along', async () => {
    const ink = async (title: string): Promise<number> => {
      const chart = lineChart({ name: 'x', title: '', description: '', x: { title }, y: { title: ' ' }, points: [] });
      const { data, channels } = decode(await chartToPng(chart, 'light', 1));
      let dark = 0;
      for (let pixel = 0; pixel < data.length; pixel += channels) {
        dark += data[pixel] < 100 ? 1 : 0;
      }
      return dark;
    };
    expect(await ink('Å φ ρ – features')).toBeGreaterThan((await ink(' ')) + 100);
  });

  it('leaves labels the width that the font takes', async () => {
    const svg = await chartToSvg(reportCharts(sampleReport(120, 40)).find(({ name }) => name === 'assays')!);
    // 'BLAT_ECOLX' is 68.4 px wide in Open Sans at 11 px (fontTools); the axis title stands clear of it, not far off.
    const width = Number(/width="(\d+)"/.exec(svg)![1]);
    expect(width).toBeGreaterThan(480 + 68);
    expect(width).toBeLessThan(480 + 68 + 60);
  });
});

describe('matrix images', () => {
  it('colours each cell by its value', async () => {
    const matrix = { rows: 1, columns: 3, values: Float32Array.of(0, 0.25, 4), limit: 1, power: 0.5 };
    const png = decode(Buffer.from((await matrixToDataUrl(matrix, 'light')).split(',')[1], 'base64'));
    const ramp = PALETTES.light.sequential;
    expect([...png.data.slice(0, 3)]).toEqual(rampColour(ramp, 0));
    expect([...png.data.slice(3, 6)]).toEqual(rampColour(ramp, 128 / 255));
    expect([...png.data.slice(6, 9)]).toEqual(rampColour(ramp, 1));
  });

  it('shrinks to the means of blocks, smaller ones at the edge', () => {
    const matrix = { rows: 3, columns: 3, values: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9), limit: 9, power: 1 };
    expect([...shrinkMatrix(matrix, 2).values]).toEqual([3, 4.5, 7.5, 9]);
  });

  it('draws a map of 1,000 residues as one image', async () => {
    const values = new Float32Array(1_000_000).map((_, cell) => 1 / (1 + Math.abs((cell % 1000) - cell / 1000)));
    const chart = residueMatrixChart({
      name: 'map',
      title: '',
      description: '',
      values,
      sequence: 'M'.repeat(1000),
      valueTitle: 'attention',
      rowTitle: 'from',
      columnTitle: 'to',
    });
    const svg = await chartToSvg(chart);
    expect(svg.match(/<image/g)).toHaveLength(1);
    expect(svg.length).toBeLessThan(3_000_000);
  });
});

describe('palettes', () => {
  // Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
  const vision: Record<string, number[]> = {
    normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
    protanopia: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    deuteranopia: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
    tritanopia: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
  };
  const lab = (colour: string, matrix: number[]): number[] => {
    const linear = [1, 3, 5].map((at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
    const seen = [0, 3, 6].map((row) =>
      Math.min(
        1,
        Math.max(
          0,
          linear.reduce((sum, value, column) => sum + matrix[row + column] * value, 0),
        ),
      ),
    ) as [number, number, number];
    const [r, g, b] = seen;
    const f = (t: number): number => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
    const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
    const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  };
  const difference = (a: string, b: string, matrix: number[]): number => {
    const other = lab(b, matrix);
    return Math.hypot(...lab(a, matrix).map((value, axis) => value - other[axis]));
  };

  it.each(Object.keys(vision))('keeps the first four categories and the ends of the ramps apart: %s', (kind) => {
    for (const palette of Object.values(PALETTES)) {
      const colours = palette.categories.slice(0, 4);
      for (const [at, a] of colours.entries()) {
        expect(difference(a, palette.background, vision[kind])).toBeGreaterThan(25);
        for (const b of colours.slice(at + 1)) {
          expect(difference(a, b, vision[kind])).toBeGreaterThan(9);
        }
      }
      expect(difference(palette.diverging[0], palette.diverging.at(-1)!, vision[kind])).toBeGreaterThan(25);
      const lightness = palette.sequential.map((colour) => lab(colour, vision[kind])[0]);
      const direction = Math.sign(lightness.at(-1)! - lightness[0]);
      for (let stop = 1; stop < lightness.length; stop++) {
        expect((lightness[stop] - lightness[stop - 1]) * direction).toBeGreaterThan(5);
      }
    }
  });
});
