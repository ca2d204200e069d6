import type { PageMatrix } from '../pageData.js';
import { create } from './dom.js';
import { report, theme } from './page.js';

const decoded = new WeakMap<PageMatrix, Float32Array>();

/**
 * A matrix's values [rows × columns]. They were stored as 16 bits of the square root: fine for small values, exact to
 * one part in 30,000 of the largest.
 */
export function valuesOf(matrix: PageMatrix): Float32Array {
  let values = decoded.get(matrix);
  if (!values) {
    const bytes = Uint8Array.from(atob(matrix.values), (character) => character.charCodeAt(0));
    values = Float32Array.from(new Uint16Array(bytes.buffer), (step) => matrix.maximum * (step / 65535) ** 2);
    decoded.set(matrix, values);
  }
  return values;
}

/** A matrix as the `data:` URL of a picture in the theme's colours. */
export function pictureOf(matrix: PageMatrix): string {
  const colours = report.imageColours[theme()];
  const canvas = create('canvas', { width: matrix.columns, height: matrix.rows });
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  const picture = context.createImageData(matrix.columns, matrix.rows);
  valuesOf(matrix).forEach((value, cell) => {
    const fraction = Math.min(1, Math.max(0, value / matrix.limit)) ** matrix.power;
    const step = Math.round(fraction * (colours.length / 3 - 1)) * 3;
    picture.data.set([colours[step], colours[step + 1], colours[step + 2], 255], cell * 4);
  });
  context.putImageData(picture, 0, 0);
  return canvas.toDataURL('image/png');
}
