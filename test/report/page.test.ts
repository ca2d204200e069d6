import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PALETTES, rampColour } from '../../src/report/look.js';
import { reportToHtml } from '../../src/report/page.js';
import { CHROMIUM, launchChromium } from '../chromium.js';
import { sampleReport, sampleVariants } from './sample.js';

describe('the report as a document', () => {
  it('names nothing outside itself and escapes what it shows', async () => {
    const html = await reportToHtml(sampleReport(30, 20));
    expect(html).toContain('<title>A &lt;protein&gt; &amp; its scores</title>');
    expect(html).not.toMatch(/<(script|link|img)[^>]+(src|href)="(?!data:)/);
    expect(html).not.toContain('sourceMappingURL');
  });

  it('refuses two charts of one name', async () => {
    const { sections, ...rest } = sampleReport(30, 20);
    await expect(reportToHtml({ ...rest, sections: [...sections, sections[1]] })).rejects.toThrow(/two charts.*loss/);
  });
});

describe.skipIf(!CHROMIUM)('the report in Chromium', () => {
  const folder = mkdtempSync(join(tmpdir(), 'report-'));
  const file = join(folder, 'report.html');
  const { variants } = sampleVariants(1000);
  const requests: string[] = [];
  const faults: string[] = [];
  let browser: Browser;
  let page: Page;

  const open = async (colorScheme: 'light' | 'dark'): Promise<Page> => {
    const opened = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 900 } });
    opened.on('request', (request) => {
      if (!/^(file|data|blob):/.test(request.url())) {
        requests.push(request.url());
      }
    });
    opened.on('pageerror', (error) => faults.push(error.message));
    opened.on('console', (message) => {
      if (message.type() === 'error') {
        faults.push(message.text());
      }
    });
    await opened.goto(`file://${file}`);
    await opened.waitForSelector('html[data-ready]', { state: 'attached' });
    return opened;
  };
  /** The page's point over a value of a chart's scales. */
  const point = (chart: string, x: number, y: number | string): Promise<{ x: number; y: number }> =>
    page.evaluate(`(() => {
      const chart = window.proteinLmCharts.get(${JSON.stringify(chart)});
      const { view, host } = chart;
      const box = host.querySelector('canvas').getBoundingClientRect();
      const [left, top] = chart.origin();
      const scaleY = view.scale('y');
      const y = scaleY(${JSON.stringify(y)}) + (scaleY.bandwidth ? scaleY.bandwidth() / 2 : 0);
      return { x: box.left + left + view.scale('x')(${x}), y: box.top + top + y };
    })()`);

  beforeAll(async () => {
    writeFileSync(file, await reportToHtml(sampleReport(1000, 200)));
    browser = await launchChromium();
    page = await open('light');
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('draws every chart', async () => {
    expect(await page.locator('.plot canvas').count()).toBe(7);
    expect(await page.locator('.count').first().textContent()).toBe(`${variants.length.toLocaleString('en')} rows`);
  });

  it('shows a variant under the pointer', async () => {
    const variant = variants.find(({ position, mutant }) => position === 500 && mutant === 'W')!;
    await page.locator('figure[data-chart="landscape"]').scrollIntoViewIfNeeded();
    const { x, y } = await point('landscape', 500, 'W');
    await page.mouse.move(x - 40, y);
    await page.mouse.move(x, y);
    await expect.poll(() => page.locator('.tip').isVisible()).toBe(true);
    expect(await page.locator('.tip').textContent()).toContain(`${variant.wildType}500W`);
    await page.mouse.click(x, y);
    expect(await page.locator('tr[aria-selected="true"] td').first().textContent()).toBe(`${variant.wildType}500W`);
    expect(await page.locator('figure[data-chart="landscape"] .readout').textContent()).toContain(
      `${variant.wildType}500W: score`,
    );
  });

  it('sorts and filters its table and its map', async () => {
    const first = page.locator('tbody tr[data-row] td').first();
    const heading = page.getByRole('button', { name: 'score' });
    await heading.click();
    const sorted = variants.toSorted((a, b) => a.score - b.score);
    const name = (v: (typeof variants)[0]): string => `${v.wildType}${v.position}${v.mutant}`;
    expect(await first.textContent()).toBe(name(sorted[0]));
    await heading.click();
    expect(await first.textContent()).toBe(name(variants.toSorted((a, b) => b.score - a.score)[0]));
    await page.locator('.filter').fill('mutant=W score<-2 position>=100');
    const kept = variants.filter((v) => v.mutant === 'W' && v.score < -2 && v.position >= 100);
    expect(kept.length).toBeGreaterThan(10);
    expect(await page.locator('.count').textContent()).toBe(
      `${kept.length} of ${variants.length.toLocaleString('en')} rows`,
    );
    expect(await page.evaluate(`window.proteinLmCharts.get('landscape').view.data('cells').length`)).toBe(kept.length);
    await page.locator('.filter').fill('');
  });

  it('zooms and walks over cells with the keyboard', async () => {
    const domain = (): Promise<number[]> =>
      page.evaluate(`window.proteinLmCharts.get('landscape').view.scale('x').domain()`);
    const plot = page.locator('figure[data-chart="landscape"] .plot');
    await plot.focus();
    for (const key of ['Escape', '0', 'ArrowRight', 'ArrowRight', 'ArrowDown']) {
      await page.keyboard.press(key);
    }
    const readout = page.locator('figure[data-chart="landscape"] .readout');
    expect(await readout.textContent()).toMatch(/^[A-Z]2A: (score|wild type)/);
    for (const key of ['+', '+', '+']) {
      await page.keyboard.press(key);
    }
    await expect.poll(domain).toEqual([0.5, 125.5]);
    await page.keyboard.press('0');
    await expect.poll(domain).toEqual([0.5, 1000.5]);
  });

  it('changes the attention map and reads its cells', async () => {
    await page.locator('select').selectOption({ label: 'layer 2, head 3' });
    const plot = page.locator('figure[data-chart="attention-map"]');
    await plot.scrollIntoViewIfNeeded();
    const { x, y } = await point('attention-map', 12, 10);
    await page.mouse.move(x, y);
    const { sequence } = sampleVariants(1000);
    const tip = await page.locator('.tip').textContent();
    expect(tip).toContain(`from${sequence[9]}10to${sequence[11]}12`);
    expect(Number(/attention([\d.e-]+)$/.exec(tip!)![1])).toBeCloseTo(Math.exp(-2 / 3) ** 4, 3);
  });

  it('follows the system into the dark, and the button back', async () => {
    const dark = await open('dark');
    const corner = async (): Promise<number[]> => [...decode(await dark.screenshot()).data.slice(0, 3)] as number[];
    expect(await corner()).toEqual(rampColour([PALETTES.dark.background, '#000000'], 0));
    await dark.locator('#theme').click();
    await expect.poll(corner).toEqual(rampColour([PALETTES.light.background, '#000000'], 0));
    await dark.close();
  });

  it('asks the network for nothing and raises no error', () => {
    expect(requests).toEqual([]);
    expect(faults).toEqual([]);
  });
});
