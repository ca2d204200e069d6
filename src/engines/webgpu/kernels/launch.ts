import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { Gpu } from '../gpu.js';

/** A kernel to run once. */
export interface Launch {
  name: string;
  /** Tensors that are read, by the name that they have in the WGSL code: arrays of f32, or of i32 for int32. */
  inputs: Record<string, TensorInfo | undefined>;
  /** Buffers of unsigned integers that are read and belong to no tensor, likewise. */
  buffers?: Record<string, GPUBuffer>;
  /** Tensors that are written, likewise. They may be inputs of other kernels, but not of this one. */
  outputs: Record<string, TensorInfo>;
  /** Unsigned integers, as `c.NAME` in the code. */
  constants?: Record<string, number>;
  /** Floats, as `c.NAME` in the code. */
  floats?: Record<string, number>;
  /** WGSL: what precedes all else. */
  directives?: string;
  /** WGSL: attributes of `main`, and parameters that it has beside those below. */
  attributes?: string;
  parameters?: string[];
  /** WGSL: declarations and functions, outside of `main`. */
  declarations?: string;
  /** WGSL: the body of `main`. It knows `group` (index of the workgroup) and `lane` (of the thread in it). */
  body: string;
  /** Threads in a workgroup. Default 256. */
  threads?: number;
  groups: number;
  /** Additions and multiplications, for the profile. */
  flops?: number;
}

// Workgroups along one axis that every device takes.
const MOST_GROUPS = 65535;

/** Makes an uninitialised tensor on the GPU. */
export function allocate(backend: Gpu, shape: number[]): TensorInfo {
  return backend.makeTensorInfo(shape, 'float32');
}

/** Gives tensors that were made here back to the pool. */
export function release(backend: Gpu, ...tensors: (TensorInfo | undefined)[]): void {
  for (const tensor of tensors) {
    if (tensor) {
      backend.disposeData(tensor.dataId);
    }
  }
}

/** Writes a kernel's bindings and constants before its code, and runs it. */
export function launch(backend: Gpu, kernel: Launch): void {
  const {
    name,
    inputs,
    buffers = {},
    outputs,
    constants = {},
    floats = {},
    declarations = '',
    body,
    threads = 256,
    groups,
  } = kernel;
  if (groups === 0) {
    return;
  }
  const code = declarations + body;
  // What the code does not name takes no binding: devices have few.
  const named = (id: string) => new RegExp(`\\b${id}\\b`).test(code);
  const reads: { id: string; type: string; buffer: GPUBuffer }[] = [];
  for (const [id, tensor] of Object.entries(inputs)) {
    if (tensor && named(id)) {
      reads.push({ id, type: typeOf(tensor), buffer: backend.bufferOf(tensor) });
    }
  }
  for (const [id, buffer] of Object.entries(buffers)) {
    if (named(id)) {
      reads.push({ id, type: 'u32', buffer });
    }
  }
  const writes = Object.entries(outputs).map(([id, tensor]) => ({
    id,
    type: typeOf(tensor),
    buffer: backend.writableBufferOf(tensor),
  }));
  const bindings = [...reads, ...writes].map(
    ({ id, type }, i) =>
      `@group(0) @binding(${i}) var<storage, ${i < reads.length ? 'read' : 'read_write'}> ${id}: array<${type}>;`,
  );
  const fields = [
    'groups: u32',
    ...Object.keys(constants).map((id) => `${id}: u32`),
    ...Object.keys(floats).map((id) => `${id}: f32`),
  ];
  const parameters = [
    '@builtin(workgroup_id) workgroup: vec3u',
    '@builtin(num_workgroups) grid: vec3u',
    '@builtin(local_invocation_index) lane: u32',
    ...(kernel.parameters ?? []),
  ];
  const source = `${kernel.directives ?? ''}
struct Constants { ${fields.join(', ')} }
${bindings.join('\n')}
@group(0) @binding(${bindings.length}) var<uniform> c: Constants;
${declarations}
@compute @workgroup_size(${threads}) ${kernel.attributes ?? ''}
fn main(${parameters.join(', ')}) {
  let group = workgroup.y * grid.x + workgroup.x;
  if (group >= c.groups) { return; }
${body}
}`;
  const integers = [groups, ...Object.values(constants)];
  const reals = Object.values(floats);
  const bytes = new ArrayBuffer(4 * (integers.length + reals.length));
  new Uint32Array(bytes, 0, integers.length).set(integers);
  new Float32Array(bytes, 4 * integers.length).set(reals);
  const across = Math.min(groups, MOST_GROUPS);
  backend.launcher.launch(
    name,
    source,
    reads.map(({ buffer }) => buffer),
    writes.map(({ buffer }) => buffer),
    new Uint8Array(bytes),
    [across, Math.ceil(groups / across), 1],
    kernel.flops,
  );
}

function typeOf(tensor: TensorInfo): string {
  return tensor.dtype === 'int32' ? 'i32' : 'f32';
}

/** Integers, whatever the tensor calls them, as floats. */
export function toFloats(backend: Gpu, x: TensorInfo): TensorInfo {
  const out = allocate(backend, x.shape);
  launchElements(backend, {
    name: 'Cast',
    inputs: { integers: { ...x, dtype: 'int32' } },
    outputs: { out },
    body: 'out[i] = f32(integers[i]);',
    size: x.shape.reduce((a, b) => a * b, 1),
  });
  return out;
}

/** A kernel whose every thread computes one of `size` elements, `i`. */
export function launchElements(backend: Gpu, kernel: Omit<Launch, 'groups' | 'threads'> & { size: number }): void {
  const { size, ...rest } = kernel;
  launch(backend, {
    ...rest,
    constants: { ...rest.constants, elements: size },
    body: `  let i = group * 256u + lane;\n  if (i < c.elements) {\n${rest.body}\n  }`,
    groups: Math.ceil(size / 256),
  });
}

/**
 * WGSL: `fn reduce(value: f32, lane: u32) -> f32`, the sum over a workgroup of `threads` (a power of two), to be
 * called by all of its threads. The order of the additions is fixed.
 */
export function reduction(threads: number): string {
  return overWorkgroup('reduce', threads, (a, b) => `${a} + ${b}`);
}

/** WGSL: `fn largest(value: f32, lane: u32) -> f32`, likewise. */
export function largest(threads: number): string {
  return overWorkgroup('largest', threads, (a, b) => `max(${a}, ${b})`);
}

function overWorkgroup(name: string, threads: number, combine: (a: string, b: string) => string): string {
  return `
var<workgroup> of_${name}: array<f32, ${threads}>;
fn ${name}(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  of_${name}[lane] = value;
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { of_${name}[lane] = ${combine(`of_${name}[lane]`, `of_${name}[lane + half]`)}; }
    workgroupBarrier();
  }
  return of_${name}[0];
}`;
}

/**
 * Adds up the rows of `parts` [count, ...] into `outputs`, whose elements one after the other are as many as a row's.
 * Always in the order of the rows, so that a result never depends on timing.
 */
export function sumParts(backend: Gpu, parts: TensorInfo, count: number, outputs: TensorInfo[]): void {
  const sizes = outputs.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));
  const size = sizes.reduce((a, b) => a + b, 0);
  const names = outputs.map((_, i) => `out${i}`);
  const stores = names.map((name, i) => `if (i < c.end${i}) { ${name}[i - c.start${i}] = sum; }`);
  launchElements(backend, {
    name: 'SumParts',
    inputs: { parts },
    outputs: Object.fromEntries(names.map((name, i) => [name, outputs[i]])),
    constants: {
      count,
      ...Object.fromEntries(
        sizes.flatMap((length, i) => [
          [`start${i}`, starts[i]],
          [`end${i}`, starts[i] + length],
        ]),
      ),
    },
    body: `
  var sum = 0.0;
  for (var p = 0u; p < c.count; p++) { sum += parts[p * c.elements + i]; }
  ${stores.join(' else ')}`,
    size,
  });
}
