import type { Theme } from './look.js';

/** How a chart is to be drawn: for a file, or for the page, where it zooms, answers the pointer and fills its width. */
export interface Look {
  theme: Theme;
  interactive: boolean;
}

/** A Vega-Lite specification (https://vega.github.io/vega-lite/docs/spec.html), plain JSON. */
export type VegaLiteSpec = Record<string, unknown>;

export type Row = Readonly<Record<string, unknown>>;

/**
 * A square or rectangular matrix that a chart draws as one image instead of one mark per cell, so that a map of
 * 1,000 × 1,000 residues stays light. The page colours it in the browser, a file gets it as an embedded PNG.
 */
export interface MatrixImage {
  rows: number;
  columns: number;
  /** [rows × columns], row-major. */
  values: Float32Array;
  /** The value that gets the strongest colour; zero gets the weakest. */
  limit: number;
  /** Colours follow (value / limit) ^ power; below 1 lifts small values. */
  power: number;
}

/**
 * A chart: a Vega-Lite specification and its named data, separate, because the page and the files draw the same data
 * in different looks. Data set `images` is made of `images`: one row each, `{ ...fields, url }`.
 */
export interface Chart {
  /** Stem of file names; unique in a report. */
  name: string;
  title: string;
  /** What the chart shows, in words, for those who do not see it. */
  description: string;
  data: Readonly<Record<string, readonly Row[]>>;
  images?: readonly { fields: Row; matrix: MatrixImage }[];
  interaction?: Interaction;
  spec(look: Look): VegaLiteSpec;
}

/** What the page lets people do with a chart, besides reading its tooltips. */
export interface Interaction {
  /** Vega signals that hold the zoomed domains, and the whole range that they move in. */
  zoom: readonly string[];
  extent: readonly [number, number];
  /** What the cursor keys walk over: a landscape's variants, or the cells of a matrix. */
  cells?: 'landscape' | 'matrix';
  /** Names of what a matrix's cell says. */
  labels?: { sequence: string; row: string; column: string; value: string };
}
