import type { MatrixImage } from './chart.js';
import { PALETTES, rampColour, type Theme } from './look.js';

const STEPS = 256;

/** The 256 colours [256 × 3] that images of a theme use, weakest first. */
export function imageColours(theme: Theme): Uint8Array {
  const colours = new Uint8Array(STEPS * 3);
  for (let step = 0; step < STEPS; step++) {
    colours.set(rampColour(PALETTES[theme].sequential, step / (STEPS - 1)), step * 3);
  }
  return colours;
}

/** A matrix as a `data:` URL of a PNG with one pixel a cell. */
export async function matrixToDataUrl(matrix: MatrixImage, theme: Theme): Promise<string> {
  const { encode } = await import('fast-png');
  const colours = imageColours(theme);
  const pixels = new Uint8Array(matrix.rows * matrix.columns * 3);
  for (let cell = 0; cell < matrix.values.length; cell++) {
    const fraction = Math.min(1, Math.max(0, matrix.values[cell] / matrix.limit)) ** matrix.power;
    const step = Math.round(fraction * (STEPS - 1)) * 3;
    pixels[cell * 3] = colours[step];
    pixels[cell * 3 + 1] = colours[step + 1];
    pixels[cell * 3 + 2] = colours[step + 2];
  }
  const png = encode({ width: matrix.columns, height: matrix.rows, data: pixels, channels: 3, depth: 8 });
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
}

/**
 * The same matrix with every `factor` × `factor` block of cells replaced by its mean; blocks at the right and lower
 * edge may be smaller.
 */
export function shrinkMatrix(matrix: MatrixImage, factor: number): MatrixImage {
  if (factor === 1) {
    return matrix;
  }
  const rows = Math.ceil(matrix.rows / factor);
  const columns = Math.ceil(matrix.columns / factor);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const lastRow = Math.min(matrix.rows, (row + 1) * factor);
    for (let column = 0; column < columns; column++) {
      const lastColumn = Math.min(matrix.columns, (column + 1) * factor);
      let sum = 0;
      for (let r = row * factor; r < lastRow; r++) {
        for (let c = column * factor; c < lastColumn; c++) {
          sum += matrix.values[r * matrix.columns + c];
        }
      }
      values[row * columns + column] = sum / ((lastRow - row * factor) * (lastColumn - column * factor));
    }
  }
  return { ...matrix, rows, columns, values };
}
