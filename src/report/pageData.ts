import type { Spec } from 'vega';
import type { Interaction, Row } from './chart.js';
import type { Theme } from './look.js';

/** What a report's page holds as JSON, for the script in `client/`. */
export interface PageData {
  charts: Record<string, PageChart>;
  tables: Record<string, PageTable>;
  /** The maps of each section on attention, by the name of the chart that shows one of them. */
  attention: Record<string, PageMap[]>;
  residueOrder: readonly string[];
  /** The 256 colours of images, [256 × 3]. */
  imageColours: Record<Theme, number[]>;
}

export interface PageChart {
  spec: Record<Theme, Spec>;
  data: Record<string, PageColumns>;
  images?: PageImage[];
  interaction?: Interaction;
}

/** Rows as columns, which repeat no names. */
export type PageColumns = Record<string, unknown[]>;

export interface PageImage {
  fields: Row;
  matrix: PageMatrix;
}

export interface PageMatrix {
  rows: number;
  columns: number;
  /** The value that gets the strongest colour. */
  limit: number;
  /** Colours follow (value / limit) ^ power. */
  power: number;
  maximum: number;
  /** [rows × columns] in 16 bits a cell, base64: the square root of its share of the maximum. */
  values: string;
}

export interface PageTable {
  sort?: { column: string; descending: boolean };
  columns: PageColumn[];
}

export interface PageColumn {
  name: string;
  title?: string;
  numeric: boolean;
  values: (string | number | null)[];
}

export interface PageMap {
  layer: string;
  head: string;
  label: string;
  matrix: PageMatrix;
}
