import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type * as vega from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import type { Chart, Look } from './chart.js';
import { type Theme, vegaConfig } from './look.js';
import { matrixToDataUrl } from './matrix-image.js';
import { textWidths } from './text-width.js';

const FONT_FOLDER = join(dirname(createRequire(import.meta.url).resolve('open-sans-fonts/package.json')), 'open-sans');
const FONT_FILES = ['Regular/OpenSans-Regular.ttf', 'Semibold/OpenSans-Semibold.ttf', 'Bold/OpenSans-Bold.ttf'];

/** Vega's own hook for text measured without a canvas. */
interface TextMetrics {
  width(item: { fontSize?: number }, text: string): number;
}

/** What is used of @resvg/resvg-wasm, whose types Node.js's resolution does not find. */
interface ResvgLibrary {
  initWasm(wasm: Uint8Array): Promise<void>;
  Resvg: new (svg: string, options: object) => { render(): { asPng(): Uint8Array; free(): void }; free(): void };
}

/** Loaded when the first picture is drawn, its WebAssembly started once. */
let resvg: Promise<ResvgLibrary> | undefined;

function loadResvg(): Promise<ResvgLibrary> {
  resvg ??= (async () => {
    const name: string = '@resvg/resvg-wasm';
    const library: ResvgLibrary = await import(name);
    await library.initWasm(readFileSync(createRequire(import.meta.url).resolve(`${name}/index_bg.wasm`)));
    return library;
  })();
  return resvg;
}

/** Loaded when the first chart is drawn: whoever draws none does not wait for Vega. */
let libraries: Promise<{ vega: typeof import('vega'); compile: typeof import('vega-lite').compile }> | undefined;

function loadVega(): NonNullable<typeof libraries> {
  libraries ??= (async () => {
    const [library, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
    const { textMetrics } = library as unknown as { textMetrics: TextMetrics };
    const width = textWidths(readFileSync(join(FONT_FOLDER, FONT_FILES[0])));
    textMetrics.width = (item, text) => width(String(text ?? ''), item.fontSize ?? 11);
    return { vega: library, compile };
  })();
  return libraries;
}

/** A chart's Vega specification: the Vega-Lite one compiled with the theme's configuration, its data still by name. */
export async function compileChart(chart: Chart, look: Look): Promise<vega.Spec> {
  const library = await loadVega();
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    description: chart.description,
    ...chart.spec(look),
    config: vegaConfig(look.theme),
  };
  // Vega-Lite warns of settings that it drops for good reason, such as a fitted height where bars have their own.
  const logger = library.vega.logger(library.vega.Error);
  return library.compile(spec as unknown as TopLevelSpec, { logger }).spec;
}

/** The data sets that the chart's specification names. */
export async function chartData(chart: Chart, theme: Theme): Promise<Record<string, object[]>> {
  const data: Record<string, object[]> = {};
  // Vega adds a key to each row it takes: it gets copies.
  for (const [name, rows] of Object.entries(chart.data)) {
    data[name] = rows.map((row) => ({ ...row }));
  }
  if (chart.images) {
    data.images = await Promise.all(
      chart.images.map(async ({ fields, matrix }) => ({ ...fields, url: await matrixToDataUrl(matrix, theme) })),
    );
  }
  return data;
}

/** Draws a chart as an SVG document, without a browser. */
export async function chartToSvg(chart: Chart, theme: Theme = 'light'): Promise<string> {
  const { vega } = await loadVega();
  const spec = await compileChart(chart, { theme, interactive: false });
  const data = await chartData(chart, theme);
  for (const source of spec.data ?? []) {
    if (source.name in data) {
      Object.assign(source, { values: data[source.name] });
    }
  }
  const view = new vega.View(vega.parse(spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Draws a chart as a PNG at `scale` pixels a point, with the font that comes along: no system font is needed. */
export async function chartToPng(chart: Chart, theme: Theme = 'light', scale = 2): Promise<Buffer> {
  // Of the two spellings that Vega writes for "do not smooth", resvg knows only the first.
  const svg = (await chartToSvg(chart, theme)).replaceAll(' image-rendering: pixelated;', '');
  const { Resvg } = await loadResvg();
  const drawing = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      fontBuffers: FONT_FILES.map((file) => readFileSync(join(FONT_FOLDER, file))),
      defaultFontFamily: 'Open Sans',
      sansSerifFamily: 'Open Sans',
    },
  });
  const image = drawing.render();
  try {
    return Buffer.from(image.asPng());
  } finally {
    image.free();
    drawing.free();
  }
}
