import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/atomicFile.js';
import type { Theme } from './look.js';
import { type Report, reportCharts, reportToHtml } from './page.js';
import { chartToPng, chartToSvg } from './render.js';

/**
 * Writes a report as one HTML file, and with `charts` each of its charts as `name.svg` and `name.png` in that folder.
 * @returns the files that were written
 */
export async function writeReport(
  report: Report,
  files: { html?: string; charts?: string; theme?: Theme },
): Promise<string[]> {
  const written: string[] = [];
  const write = async (path: string, data: string | Uint8Array): Promise<void> => {
    await writeFileAtomic(path, data);
    written.push(path);
  };
  if (files.html !== undefined) {
    await write(files.html, await reportToHtml(report));
  }
  if (files.charts !== undefined) {
    mkdirSync(files.charts, { recursive: true });
    for (const chart of reportCharts(report)) {
      await write(join(files.charts, `${chart.name}.svg`), await chartToSvg(chart, files.theme));
      await write(join(files.charts, `${chart.name}.png`), await chartToPng(chart, files.theme));
    }
  }
  return written;
}
