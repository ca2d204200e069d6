import type { Chart, Look, MatrixImage, VegaLiteSpec } from '../chart.js';
import { shrinkMatrix } from '../matrix-image.js';
import { colourLimit } from './matrix.js';

export interface AttentionMap {
  /** Counted from 0, or what the average runs over. */
  layer: number | 'mean';
  head: number | 'mean';
  /** [length × length], rows are queries. */
  values: Float32Array;
}

export interface AttentionOverviewOptions {
  name?: string;
  title?: string;
  length: number;
  maps: readonly AttentionMap[];
}

/** Cells to a side of an overview's small map. */
const THUMBNAIL = 96;

/** All maps of a model at a glance: layers down, heads across, each coloured up to its own 99.5th percentile. */
export function attentionOverviewChart(options: AttentionOverviewOptions): Chart {
  const { maps, length } = options;
  const layers = [...new Set(maps.map(({ layer }) => layer))];
  const heads = [...new Set(maps.map(({ head }) => head))];
  const side = Math.max(36, Math.min(120, Math.floor(720 / heads.length)));
  const images = maps.map(({ layer, head, values }) => {
    const full: MatrixImage = { rows: length, columns: length, values, limit: 1, power: 0.5 };
    const small = shrinkMatrix(full, Math.ceil(length / THUMBNAIL));
    return { fields: { layer: name(layer), head: name(head) }, matrix: { ...small, limit: colourLimit(small.values) } };
  });
  return {
    name: options.name ?? 'attention-overview',
    title: options.title ?? 'Attention by layer and head',
    description: `Small attention maps of ${layers.length} layers (rows) and ${heads.length} heads (columns).`,
    data: {},
    images,
    spec: (_: Look): VegaLiteSpec => ({
      width: { step: side },
      height: { step: side },
      data: { name: 'images' },
      mark: {
        type: 'image',
        aspect: false,
        smooth: true,
        aria: false,
        cursor: 'pointer',
        width: side - 4,
        height: side - 4,
      },
      encoding: {
        x: {
          field: 'head',
          type: 'ordinal',
          sort: heads.map(name),
          title: 'head',
          axis: { orient: 'top', labelAngle: 0, ticks: false, domain: false },
        },
        y: {
          field: 'layer',
          type: 'ordinal',
          sort: layers.map(name),
          title: 'layer',
          axis: { ticks: false, domain: false },
        },
        url: { field: 'url', type: 'nominal' },
        tooltip: [
          { field: 'layer', title: 'layer' },
          { field: 'head', title: 'head' },
        ],
      },
    }),
  };
}

/** Layers and heads are shown as people count them, from 1. */
function name(index: number | 'mean'): string {
  return index === 'mean' ? 'mean' : String(index + 1);
}
