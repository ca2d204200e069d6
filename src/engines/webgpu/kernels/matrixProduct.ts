import type { Gpu } from '../gpu.js';
import { launch } from './launch.js';
import { unitProduct } from './matrixUnits.js';
import type { MatrixProduct } from './product.js';

const BLOCK = 16;

/** Threads form a square of 16 × 16; each computes every sixteenth row and column of its workgroup's tile. */
export function matrixProduct(backend: Gpu, product: MatrixProduct): void {
  if (product.half && backend.matrixUnits) {
    unitProduct(backend, backend.matrixUnits, product);
    return;
  }
  const { rows, columns, inner, batches = 1, splits = 1 } = product;
  // Large tiles read each operand less often, small ones occupy more of the GPU.
  const tiles = Math.ceil(rows / 128) * Math.ceil(columns / 128) * batches * splits;
  const tile = tiles >= 256 && rows % 128 === 0 && columns % 128 === 0 ? 128 : 64;
  const share = tile / 16;
  const [down, across] = [Math.ceil(rows / tile), Math.ceil(columns / tile)];
  const perSplit = Math.ceil(inner / splits / BLOCK) * BLOCK;
  const each = (count: number, code: (i: number) => string) => [...Array(count).keys()].map(code).join('\n');
  const list = (count: number, code: (i: number) => string) => [...Array(count).keys()].map(code).join(', ');
  const { weight } = product;
  const declarations = `
${product.declarations ?? ''}
var<workgroup> a_tile: array<f32, ${BLOCK * (tile + 1)}>;
var<workgroup> b_tile: array<f32, ${BLOCK * (tile + 1)}>;
${weight ? `var<workgroup> weights: array<f32, ${BLOCK}>;` : ''}
fn read_a(batch: u32, row: u32, k: u32) -> f32 { ${body(product.a)} }
fn read_b(batch: u32, k: u32, column: u32) -> f32 { ${body(product.b)} }
${weight ? `fn read_weight(batch: u32, k: u32) -> f32 { ${body(weight)} }` : ''}
fn put(batch: u32, split: u32, row: u32, column: u32, value: f32, rowDot: f32) {
  ${product.store}
}
fn put_row(batch: u32, split: u32, row: u32, rowDot: f32) {
  ${product.storeRow ?? ''}
}`;
  const loadIndices = (along: boolean) =>
    along
      ? `let line = e / ${BLOCK}u; let depth = e % ${BLOCK}u;`
      : `let line = e % ${tile}u; let depth = e / ${tile}u;`;
  launch(backend, {
    name: product.name,
    inputs: product.inputs,
    outputs: product.outputs,
    constants: { rows, columns, inner, splits, per_split: perSplit, down, across, ...product.constants },
    floats: product.floats,
    declarations,
    body: `
  let first_column = (group % c.across) * ${tile}u;
  let first_row = (group / c.across % c.down) * ${tile}u;
  let split = group / (c.across * c.down) % c.splits;
  let batch = group / (c.across * c.down * c.splits);
  let ty = lane / 16u;
  let tx = lane % 16u;
  ${each(share, (i) => each(share, (j) => `var sum_${i}_${j} = 0.0;`))}
  ${each(share, (i) => `var dot_${i} = 0.0;`)}
  let end = min(c.inner, (split + 1u) * c.per_split);
  for (var start = split * c.per_split; start < end; start += ${BLOCK}u) {
    for (var e = lane; e < ${tile * BLOCK}u; e += 256u) {
      ${loadIndices(product.aAlong === 'k')}
      let row = first_row + line;
      let k = start + depth;
      var value = 0.0;
      if (row < c.rows && k < end) { value = read_a(batch, row, k); }
      a_tile[depth * ${tile + 1}u + line] = value;
    }
    for (var e = lane; e < ${tile * BLOCK}u; e += 256u) {
      ${loadIndices(product.bAlong === 'k')}
      let column = first_column + line;
      let k = start + depth;
      var value = 0.0;
      if (column < c.columns && k < end) { value = read_b(batch, k, column); }
      b_tile[depth * ${tile + 1}u + line] = value;
    }
    ${weight ? `if (lane < ${BLOCK}u) { weights[lane] = 0.0; if (start + lane < end) { weights[lane] = read_weight(batch, start + lane); } }` : ''}
    workgroupBarrier();
    for (var depth = 0u; depth < ${BLOCK}u; depth++) {
      let at = depth * ${tile + 1}u;
      ${each(share, (i) => `let a${i} = a_tile[at + ty + ${16 * i}u];`)}
      ${each(share, (j) => `let b${j} = b_tile[at + tx + ${16 * j}u];`)}
      ${each(share, (i) => each(share, (j) => `sum_${i}_${j} = fma(a${i}, b${j}, sum_${i}_${j});`))}
      ${weight ? each(share, (i) => `dot_${i} = fma(a${i}, weights[depth], dot_${i});`) : ''}
    }
    workgroupBarrier();
  }
  var results = array<f32, ${share * share}>(${list(share * share, (n) => `sum_${Math.floor(n / share)}_${n % share}`)});
  var dots = array<f32, ${share}>(${list(share, (i) => `dot_${i}`)});
  for (var i = 0u; i < ${share}u; i++) {
    let row = first_row + ty + 16u * i;
    if (row >= c.rows) { continue; }
    ${product.storeRow ? 'if (first_column + tx == 0u) { put_row(batch, split, row, dots[i]); }' : ''}
    for (var j = 0u; j < ${share}u; j++) {
      let column = first_column + tx + 16u * j;
      if (column < c.columns) { put(batch, split, row, column, results[i * ${share}u + j], dots[i]); }
    }
  }`,
    groups: across * down * batches * splits,
    flops: 2 * rows * columns * inner * batches,
  });
}

/** An expression, or statements that return, as a function's body. */
function body(code: string): string {
  return code.includes('return') ? code : `return ${code};`;
}

/** How many parts an inner dimension is worth cutting in, so that few tiles still occupy a large GPU. */
export function splitsFor(rows: number, columns: number, inner: number, batches = 1): number {
  const tiles = Math.ceil(rows / 64) * Math.ceil(columns / 64) * batches;
  return Math.max(1, Math.min(Math.ceil(512 / tiles), Math.floor(inner / 256)));
}
