import type { Gpu, MatrixUnits } from '../gpu.js';
import { allocate, launch, release } from './launch.js';
import type { MatrixProduct } from './product.js';

// Of the inner dimension, what lies in a workgroup's memory at once.
const DEPTH = 32;

interface Configuration {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** The shape of the device's matrix units that the products below use, where it has any. */
export function matrixUnitsOf(device: GPUDevice, info: GPUAdapterInfo): MatrixUnits | undefined {
  const needed = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
  if (needed.some((feature) => !device.features.has(feature))) {
    return undefined;
  }
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = info as GPUAdapterInfo & {
    subgroupMatrixConfigs?: Iterable<Configuration>;
  };
  if (subgroupMinSize === undefined || subgroupMaxSize === undefined) {
    return undefined;
  }
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const within = (size: number) => Math.min(Math.max(size, subgroupMinSize), subgroupMaxSize);
  const candidates = [...(subgroupMatrixConfigs ?? [])]
    .filter((shape) => shape.componentType === 'f16' && shape.resultComponentType === 'f32')
    .map(({ M: m, N: n, K: k }): MatrixUnits => {
      const shape = { m, n, k, memory };
      if (subgroupMinSize === subgroupMaxSize) {
        return { ...shape, subgroup: subgroupMinSize, sizes: 'fixed' };
      }
      // A thread for each column: what units are built for where several sizes exist.
      if (device.features.has('subgroup-size-control')) {
        return { ...shape, subgroup: within(n), sizes: 'chosen' };
      }
      return { ...shape, subgroup: within(32), sizes: 'open' };
    })
    .filter((units) => DEPTH % units.k === 0 && tilingOf(units, 64));
  // The largest has the most reuse.
  return candidates.sort((a, b) => b.m * b.n * b.k - a.m * a.n * a.k)[0];
}

/** How a workgroup's tile is cut in parts, one for each of its subgroups, in a grid as square as their number allows. */
function tilingOf(units: MatrixUnits, tile: 64 | 128) {
  const threads = 2 * tile;
  const parts = threads / units.subgroup;
  const gridRows = 2 ** Math.floor(Math.log2(parts) / 2);
  const gridColumns = parts / gridRows;
  const [partRows, partColumns] = [tile / gridRows, tile / gridColumns];
  const fits = partRows % units.m === 0 && partColumns % units.n === 0;
  // Two operands of 16 bits, a result of 32 for each part, and what goes with the rows.
  const bytes = 4 * tile * DEPTH + 4 * parts * units.m * units.n + 4 * (tile + DEPTH);
  return fits && bytes <= units.memory ? { tile, threads, parts, gridColumns, partRows, partColumns } : undefined;
}

/**
 * A matrix product as `matrixProduct`, on the GPU's matrix units: operands rounded to 16 bits, sums in 32.
 * Each workgroup computes a tile, each of its subgroups a part of that, each part in fragments of the units' shape.
 */
export function unitProduct(backend: Gpu, units: MatrixUnits, product: MatrixProduct): void {
  const { rows, columns, inner, batches = 1, splits = 1, weight } = product;
  const tiles = Math.ceil(rows / 128) * Math.ceil(columns / 128) * batches * splits;
  const large = tiles >= 128 && rows > 64 && columns > 64 && units.subgroup >= 16;
  const tiling = (large && tilingOf(units, 128)) || tilingOf(units, 64)!;
  const { tile, threads, parts, gridColumns, partRows, partColumns } = tiling;
  const [high, wide] = [partRows / units.m, partColumns / units.n];
  const [down, across] = [Math.ceil(rows / tile), Math.ceil(columns / tile)];
  const perSplit = Math.ceil(inner / splits / DEPTH) * DEPTH;
  const fragment = units.m * units.n;
  const each = (count: number, code: (i: number) => string) => [...Array(count).keys()].map(code).join('\n');
  const loadIndices = (along: boolean) =>
    along
      ? `let line = e / ${DEPTH}u; let depth = e % ${DEPTH}u;`
      : `let line = e % ${tile}u; let depth = e / ${tile}u;`;
  // Fewer and larger subgroups than expected take turns; of more and smaller ones, some repeat the last part.
  const open = units.sizes === 'open';
  const turns = open ? `for (var turn = 0u; turn < ${parts}u; turn += subgroups) {` : '{ let turn = 0u;';
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
${units.sizes === 'chosen' ? 'enable subgroup_size_control;' : ''}
diagnostic(off, chromium.subgroup_matrix_uniformity);`,
    attributes: units.sizes === 'chosen' ? `@subgroup_size(${units.subgroup})` : '',
    parameters: [
      '@builtin(subgroup_id) subgroup: u32',
      '@builtin(subgroup_invocation_id) place: u32',
      '@builtin(subgroup_size) size: u32',
      ...(open ? ['@builtin(num_subgroups) subgroups: u32'] : []),
    ],
    threads,
    declarations: `
${product.declarations ?? ''}
var<workgroup> a_tile: array<f16, ${tile * DEPTH}>;
var<workgroup> b_tile: array<f16, ${tile * DEPTH}>;
var<workgroup> results: array<f32, ${parts * fragment}>;
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
  ${turns}
  let part = min(turn + subgroup, ${parts - 1}u);
  let part_row = part / ${gridColumns}u * ${partRows}u;
  let part_column = part % ${gridColumns}u * ${partColumns}u;
  ${each(high, (i) => each(wide, (j) => `var sum_${i}_${j} = ${result}();`))}
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
  subgroupMatrixStore<row_major>(&results, part * ${fragment}u, sum_${i}_${j}, ${units.n}u);
  workgroupBarrier();
  for (var e = place; e < ${fragment}u; e += size) {
    let line = part_row + ${i * units.m}u + e / ${units.n}u;
    let column = first_column + part_column + ${j * units.n}u + e % ${units.n}u;
    if (first_row + line < c.rows && column < c.columns) {
      put(batch, split, first_row + line, column, results[part * ${fragment}u + e], ${weight ? 'dots[line]' : '0.0'});
    }
  }
  workgroupBarrier();`,
    ),
  )}
  }`,
    groups: across * down * batches * splits,
    flops: 2 * rows * columns * inner * batches,
  });
}

/**
 * Whether the backend's matrix units compute what they should: a product of small integers, which has no rounding.
 * Their WGSL is not final, and drivers are young.
 */
export async function computesRight(backend: Gpu): Promise<boolean> {
  const [rows, columns, inner] = [70, 83, 45];
  const values = (count: number, step: number) => Float32Array.from({ length: count }, (_, i) => ((i * step) % 13) - 6);
  const [a, b] = [values(rows * inner, 5), values(inner * columns, 7)];
  const scopes = ['validation', 'internal'] as const;
  for (const scope of scopes) {
    backend.device.pushErrorScope(scope);
  }
  const tensors = {
    a: backend.makeTensorInfo([rows, inner], 'float32', a),
    b: backend.makeTensorInfo([inner, columns], 'float32', b),
    out: allocate(backend, [rows, columns]),
  };
  unitProduct(backend, backend.matrixUnits!, {
    name: 'CheckMatrixUnits',
    inputs: { a: tensors.a, b: tensors.b },
    outputs: { out: tensors.out },
    rows,
    columns,
    inner,
    a: 'a[row * c.inner + k]',
    aAlong: 'k',
    b: 'b[k * c.columns + column]',
    bAlong: 'column',
    store: 'out[row * c.columns + column] = value;',
  });
  const actual = (await backend.read(tensors.out.dataId)) as Float32Array;
  const errors = await Promise.all(scopes.map(() => backend.device.popErrorScope()));
  release(backend, ...Object.values(tensors));
  const expected = (i: number) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < inner; k++) {
      sum += a[row * inner + k] * b[k * columns + column];
    }
    return sum;
  };
  return errors.every((error) => error === null) && actual.every((value, i) => value === expected(i));
}
