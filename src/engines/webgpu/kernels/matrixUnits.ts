import type { Backend } from '../backend.js';
import { launch } from './launch.js';
import type { MatrixProduct } from './matrixProduct.js';

/** What a GPU's matrix units multiply at once: [m, k] by [k, n], 16-bit floats summed in 32 bits. */
export interface MatrixUnits {
  m: number;
  n: number;
  k: number;
  /** Threads that do it together. */
  subgroup: number;
}

// Of the inner dimension, what lies in a workgroup's memory at once.
const DEPTH = 32;

/** The shape of the device's matrix units that the products below use, where it has any. */
export function matrixUnitsOf(device: GPUDevice, info: GPUAdapterInfo): MatrixUnits | undefined {
  const needed = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  if (needed.some((feature) => !device.features.has(feature))) return undefined;
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = info as GPUAdapterInfo & {
    subgroupMatrixConfigs?: Iterable<{
      componentType: string;
      resultComponentType: string;
      M: number;
      N: number;
      K: number;
    }>;
  };
  // Which threads form a subgroup is known before the code runs only where there is one size of them.
  if (subgroupMinSize === undefined || subgroupMinSize !== subgroupMaxSize) return undefined;
  const fitting = [...(subgroupMatrixConfigs ?? [])].filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === 'f16' && resultComponentType === 'f32' && 32 % M === 0 && 32 % N === 0 && DEPTH % K === 0,
  );
  // The largest has the most reuse.
  const [best] = fitting.sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return best && { m: best.M, n: best.N, k: best.K, subgroup: subgroupMinSize };
}

/**
 * A matrix product as `matrixProduct`, on the GPU's matrix units: operands rounded to 16 bits, sums in 32.
 * Each workgroup computes a tile, each of its subgroups a part of that, each part in fragments of the units' shape.
 */
export function unitProduct(backend: Backend, units: MatrixUnits, product: MatrixProduct): void {
  const { rows, columns, inner, batches = 1, splits = 1, weight } = product;
  const tiles = Math.ceil(rows / 128) * Math.ceil(columns / 128) * batches * splits;
  const tile = tiles >= 128 && rows > 64 && columns > 64 && units.subgroup >= 16 ? 128 : 64;
  const threads = tile === 128 ? 256 : 128;
  // Subgroups lie in a grid over the tile, as square as their number allows.
  const subgroups = threads / units.subgroup;
  const gridRows = 2 ** Math.floor(Math.log2(subgroups) / 2);
  const gridColumns = subgroups / gridRows;
  const [partRows, partColumns] = [tile / gridRows, tile / gridColumns];
  const [high, wide] = [partRows / units.m, partColumns / units.n];
  const [down, across] = [Math.ceil(rows / tile), Math.ceil(columns / tile)];
  const perSplit = Math.ceil(inner / splits / DEPTH) * DEPTH;
  const fragment = units.m * units.n;
  const each = (count: number, code: (i: number) => string) => [...Array(count).keys()].map(code).join('\n');
  const loadIndices = (along: boolean) =>
    along
      ? `let line = e / ${DEPTH}u; let depth = e % ${DEPTH}u;`
      : `let line = e % ${tile}u; let depth = e / ${tile}u;`;
  const left = `subgroup_matrix_left<f16, ${units.k}, ${units.m}>`;
  const right = `subgroup_matrix_right<f16, ${units.n}, ${units.k}>`;
  const result = `subgroup_matrix_result<f32, ${units.n}, ${units.m}>`;
  launch(backend, {
    name: product.name,
    inputs: product.inputs,
    outputs: product.outputs,
    constants: { rows, columns, inner, splits, per_split: perSplit, down, across, ...product.constants },
    floats: product.floats,
    // A subgroup's number is the same in all of its threads, which WGSL cannot know.
    directives: `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);`,
    threads,
    declarations: `
${product.declarations ?? ''}
var<workgroup> a_tile: array<f16, ${tile * DEPTH}>;
var<workgroup> b_tile: array<f16, ${tile * DEPTH}>;
var<workgroup> results: array<f32, ${subgroups * fragment}>;
${weight ? `var<workgroup> weights: array<f32, ${DEPTH}>;\nvar<workgroup> dots: array<f32, ${tile}>;` : ''}
fn read_a(batch: u32, row: u32, k: u32) -> f32 { return ${product.a}; }
fn read_b(batch: u32, k: u32, column: u32) -> f32 { return ${product.b}; }
${weight ? `fn read_weight(batch: u32, k: u32) -> f32 { return ${weight}; }` : ''}
fn put(batch: u32, split: u32, row: u32, column: u32, sum: f32, rowDot: f32) {
  let value = sum${product.unscale ? ` * ${product.unscale}` : ''};
  ${product.store}
}
fn put_row(batch: u32, split: u32, row: u32, dot: f32) {
  let rowDot = dot${product.unscale ? ` * ${product.unscale}` : ''};
  ${product.storeRow ?? ''}
}`,
    body: `
  let first_column = (group % c.across) * ${tile}u;
  let first_row = (group / c.across % c.down) * ${tile}u;
  let split = group / (c.across * c.down) % c.splits;
  let batch = group / (c.across * c.down * c.splits);
  let subgroup = lane / ${units.subgroup}u;
  let part_row = subgroup / ${gridColumns}u * ${partRows}u;
  let part_column = subgroup % ${gridColumns}u * ${partColumns}u;
  ${each(high, (i) => each(wide, (j) => `var sum_${i}_${j}: ${result};`))}
  ${weight ? 'var dot = 0.0;' : ''}
  let end = min(c.inner, (split + 1u) * c.per_split);
  for (var start = split * c.per_split; start < end; start += ${DEPTH}u) {
    for (var e = lane; e < ${tile * DEPTH}u; e += ${threads}u) {
      ${loadIndices(product.aAlong === 'k')}
      let row = first_row + line;
      let k = start + depth;
      var value = 0.0;
      if (row < c.rows && k < end) { value = read_a(batch, row, k)${product.scale ? ` * ${product.scale}` : ''}; }
      a_tile[line * ${DEPTH}u + depth] = f16(value);
    }
    for (var e = lane; e < ${tile * DEPTH}u; e += ${threads}u) {
      ${loadIndices(product.bAlong === 'k')}
      let column = first_column + line;
      let k = start + depth;
      var value = 0.0;
      if (column < c.columns && k < end) { value = read_b(batch, k, column); }
      b_tile[depth * ${tile}u + line] = f16(value);
    }
    ${weight ? `if (lane < ${DEPTH}u) { weights[lane] = 0.0; if (start + lane < end) { weights[lane] = read_weight(batch, start + lane); } }` : ''}
    workgroupBarrier();
    for (var depth = 0u; depth < ${DEPTH}u; depth += ${units.k}u) {
      ${each(high, (i) => `let a${i} = subgroupMatrixLoad<${left}, row_major>(&a_tile, (part_row + ${i * units.m}u) * ${DEPTH}u + depth, ${DEPTH}u);`)}
      ${each(wide, (j) => `let b${j} = subgroupMatrixLoad<${right}, row_major>(&b_tile, depth * ${tile}u + part_column + ${j * units.n}u, ${tile}u);`)}
      ${each(high, (i) => each(wide, (j) => `sum_${i}_${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, sum_${i}_${j});`))}
    }
    ${weight ? `if (lane < ${tile}u) { for (var depth = 0u; depth < ${DEPTH}u; depth++) { dot += f32(a_tile[lane * ${DEPTH}u + depth]) * weights[depth]; } }` : ''}
    workgroupBarrier();
  }
  ${
    weight
      ? `if (lane < ${tile}u) {
    dots[lane] = dot;
    if (first_column == 0u && first_row + lane < c.rows) { put_row(batch, split, first_row + lane, dot); }
  }
  workgroupBarrier();`
      : ''
  }
  ${each(high, (i) =>
    each(
      wide,
      (j) => `
  subgroupMatrixStore<row_major>(&results, subgroup * ${fragment}u, sum_${i}_${j}, ${units.n}u);
  workgroupBarrier();
  for (var e = lane % ${units.subgroup}u; e < ${fragment}u; e += ${units.subgroup}u) {
    let line = part_row + ${i * units.m}u + e / ${units.n}u;
    let column = first_column + part_column + ${j * units.n}u + e % ${units.n}u;
    if (first_row + line < c.rows && column < c.columns) {
      put(batch, split, first_row + line, column, results[subgroup * ${fragment}u + e], ${weight ? 'dots[line]' : '0.0'});
    }
  }
  workgroupBarrier();`,
    ),
  )}`,
    groups: across * down * batches * splits,
    flops: 2 * rows * columns * inner * batches,
  });
}
