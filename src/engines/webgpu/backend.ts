import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

/** One tensor's values in tfjs's WebGPU backend: on the GPU (`resource`), or not yet uploaded (`values`). */
interface TensorData {
  values: tf.backend_util.TypedArray | null;
  dtype: DataType;
  shape: number[];
  refCount: number;
  resource: GPUBuffer | null;
}

interface Program {
  constructor: { name: string };
  pipeline: GPUComputePipeline;
  shaderKey: string;
  dispatch: [number, number, number];
  outputShape: number[];
  size?: boolean;
  outputComponent?: number;
}

type Uniforms = { type: string; data: number[] }[];

/** What we use and replace of tfjs's WebGPU backend, most of it declared private. */
interface TfjsBackend extends KernelBackend {
  device: GPUDevice;
  queue: GPUQueue;
  tensorMap: { get(id: object): TensorData; has(id: object): boolean; delete(id: object): boolean };
  bufferManager: { acquireBuffer(size: number, usage: number): GPUBuffer; releaseBuffer(buffer: GPUBuffer): void };
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  uploadToGPU(id: object): void;
  releaseResource(id: object): void;
  getBufferData(buffer: GPUBuffer): Promise<ArrayBuffer>;
  read(id: object): Promise<tf.backend_util.BackendValues>;
  readSync(id: object): tf.backend_util.BackendValues;
  disposeData(id: object, force?: boolean): boolean;
  numDataIds(): number;
  makeTensorInfo(shape: number[], dtype: DataType, values?: tf.backend_util.TypedArray): TensorInfo;
  makeUniforms(uniforms: Uniforms): GPUBufferBinding;
  tensorToBinding(tensor: TensorInfo): GPUBufferBinding;
  runWebGPUProgram(program: Program, inputs: TensorInfo[], ...rest: unknown[]): TensorInfo;
  recordAndSubmit(program: Program, output: TensorInfo, inputs: TensorInfo[], uniforms?: Uniforms): void;
  dispose(): void;
}

const Tfjs = WebGPUBackend as unknown as new (device: GPUDevice, info: GPUAdapterInfo) => TfjsBackend;

// Dispatches in one submission: enough to cost little, few enough that the GPU starts early.
const BATCH = 48;

/**
 * tfjs's WebGPU backend for a headless Node.js, and what our kernels launch through.
 *
 * It differs in this: a tensor's buffer returns to the pool when the tensor goes, not at the next submission (the
 * order of dispatches already keeps its next use behind its last); constants of a kernel live in buffers that are made
 * once for each content; and what goes wrong on the GPU ends the next read with an error instead of a console line.
 */
export class Backend extends Tfjs {
  private failure: Error | undefined;
  private readonly constants = new Map<string, GPUBuffer>();
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUPipelineLayout>();
  private dispatches = 0;

  constructor(device: GPUDevice, info: GPUAdapterInfo) {
    super(device, info);
    device.addEventListener('uncapturederror', (event) => {
      this.failure ??= new Error(`the GPU reports: ${event.error.message}`);
    });
    void device.lost.then(({ reason, message }) => {
      if (reason === 'destroyed') return;
      this.failure = new Error(
        `the GPU was lost (${message.split('\n')[0] || reason}): what was saved is safe, continue from there`,
      );
    });
  }

  /** Values of a tensor on the GPU. Rejects where the GPU has reported an error or was lost. */
  override async read(id: object): Promise<tf.backend_util.BackendValues> {
    this.assertSound();
    let values: tf.backend_util.BackendValues;
    try {
      values = await super.read(id);
    } catch (error) {
      throw this.failure ?? error;
    }
    this.assertSound();
    return values;
  }

  override readSync(id: object): tf.backend_util.BackendValues {
    const { values } = this.tensorMap.get(id);
    if (values) return values;
    throw new Error('the webgpu engine cannot wait for values: await tensor.data(), not dataSync() or arraySync()');
  }

  override disposeData(id: object, force = false): boolean {
    if (!this.tensorMap.has(id)) return true;
    const data = this.tensorMap.get(id);
    data.refCount = force ? 0 : data.refCount - 1;
    if (data.refCount > 0) return false;
    if (data.dtype === 'complex64') return super.disposeData(id, true);
    this.releaseResource(id);
    this.tensorMap.delete(id);
    return true;
  }

  override submitQueue(): void {
    this.endComputePassEncoder();
    super.submitQueue();
    this.dispatches = 0;
  }

  override makeUniforms(uniforms: Uniforms): GPUBufferBinding {
    return { buffer: this.constantBuffer(layOut(uniforms)) };
  }

  override runWebGPUProgram(program: Program, inputs: TensorInfo[], ...rest: unknown[]): TensorInfo {
    // The code of cumsum and cumprod has the length in it, which tfjs forgot in the key that it is found again by.
    if (program.constructor.name === 'CumProgram') program.shaderKey += `_${program.outputShape.at(-1)}`;
    return super.runWebGPUProgram(program, inputs, ...rest);
  }

  /** One of tfjs's own kernels. */
  override recordAndSubmit(program: Program, output: TensorInfo, inputs: TensorInfo[], more: Uniforms = []): void {
    const uniforms: Uniforms = [
      { type: 'float32', data: [Number.NaN] },
      { type: 'float32', data: [Number.POSITIVE_INFINITY] },
    ];
    for (const { shape } of [...inputs, output]) {
      uniforms.push({ type: 'int32', data: shape }, { type: 'int32', data: tf.util.computeStrides(shape) });
    }
    if (program.size) {
      const size = tf.util.sizeFromShape(program.outputShape);
      uniforms.push({ type: 'int32', data: [program.outputComponent ? size / program.outputComponent : size] });
    }
    const bindings = [output, ...inputs].map((tensor) => this.tensorToBinding(tensor));
    bindings.push(this.makeUniforms([...uniforms, ...more]));
    this.encode(program.constructor.name, program.pipeline, bindings, program.dispatch);
  }

  /** A buffer of a tensor on the GPU, uploaded or allocated if it is not there yet. */
  bufferOf(tensor: TensorInfo): GPUBuffer {
    this.uploadToGPU(tensor.dataId);
    const { resource, dtype } = this.tensorMap.get(tensor.dataId);
    if ((dtype === 'float32') !== (tensor.dtype === 'float32'))
      throw new Error(`a tensor of ${tensor.dtype} whose values are ${dtype}: cast it with tf.cast`);
    return resource!;
  }

  /** As `bufferOf`, for a kernel that changes the values in place: a copy that was read before is forgotten. */
  writableBufferOf(tensor: TensorInfo): GPUBuffer {
    const buffer = this.bufferOf(tensor);
    this.tensorMap.get(tensor.dataId).values = null;
    return buffer;
  }

  /**
   * Runs one of our kernels.
   * @param source WGSL with one entry point `main`; its bindings are `reads`, `writes` and a uniform, in this order
   * @param constants bytes of the uniform
   */
  launch(
    name: string,
    source: string,
    reads: GPUBuffer[],
    writes: GPUBuffer[],
    constants: Uint8Array,
    workgroups: [number, number, number],
  ): void {
    const bindings: GPUBufferBinding[] = [...reads, ...writes].map((buffer) => ({ buffer }));
    bindings.push({ buffer: this.constantBuffer(constants) });
    let pipeline = this.pipelines.get(source);
    if (!pipeline) {
      const module = this.device.createShaderModule({ label: name, code: source });
      const layout = this.layoutOf(reads.length, writes.length);
      pipeline = this.device.createComputePipeline({ label: name, layout, compute: { module } });
      this.pipelines.set(source, pipeline);
    }
    this.encode(name, pipeline, bindings, workgroups);
  }

  override dispose(): void {
    for (const buffer of this.constants.values()) buffer.destroy();
    this.constants.clear();
    super.dispose();
  }

  private assertSound(): void {
    if (this.failure) throw this.failure;
  }

  private encode(
    name: string,
    pipeline: GPUComputePipeline,
    bindings: GPUBufferBinding[],
    workgroups: readonly [number, number, number],
  ): void {
    const bindGroup = this.device.createBindGroup({
      label: name,
      layout: pipeline.getBindGroupLayout(0),
      entries: bindings.map((resource, binding) => ({ binding, resource })),
    });
    this.ensureCommandEncoderReady();
    this.computePassEncoder ??= this.commandEncoder!.beginComputePass();
    this.computePassEncoder.setPipeline(pipeline);
    this.computePassEncoder.setBindGroup(0, bindGroup);
    this.computePassEncoder.dispatchWorkgroups(...workgroups);
    if (++this.dispatches >= BATCH) this.submitQueue();
  }

  /** Not left to WebGPU to find out, which drops what a kernel happens not to use. */
  private layoutOf(reads: number, writes: number): GPUPipelineLayout {
    const key = `${reads},${writes}`;
    let layout = this.layouts.get(key);
    if (!layout) {
      const typeOf = (i: number) => (i < reads ? 'read-only-storage' : i < reads + writes ? 'storage' : 'uniform');
      const entries = [...Array(reads + writes + 1).keys()].map((binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: typeOf(binding) as GPUBufferBindingType },
      }));
      layout = this.device.createPipelineLayout({ bindGroupLayouts: [this.device.createBindGroupLayout({ entries })] });
      this.layouts.set(key, layout);
    }
    return layout;
  }

  private constantBuffer(bytes: Uint8Array): GPUBuffer {
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    let buffer = this.constants.get(key);
    if (!buffer) {
      const size = Math.ceil(bytes.byteLength / 16) * 16;
      buffer = this.device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
      new Uint8Array(buffer.getMappedRange()).set(bytes);
      buffer.unmap();
      this.constants.set(key, buffer);
    }
    return buffer;
  }
}

/** tfjs's uniforms as bytes: every field at WGSL's alignment of a scalar, vec2, vec3/vec4 or an array of vec4. */
function layOut(uniforms: Uniforms): Uint8Array {
  const alignments = [4, 4, 8, 16, 16, 16, 16];
  let end = 0;
  let previous = 0;
  const offsets = uniforms.map(({ data }) => {
    const length = Math.max(1, data.length);
    const alignment = previous > 4 ? 16 : alignments[length];
    const offset = Math.ceil(end / alignment) * alignment;
    previous = length;
    end = offset + 4 * length;
    return offset;
  });
  const view = new DataView(new ArrayBuffer(Math.ceil(end / 16) * 16));
  for (const [i, { type, data }] of uniforms.entries()) {
    for (const [j, value] of (data.length > 0 ? data : [1]).entries()) {
      if (type === 'float32') view.setFloat32(offsets[i] + 4 * j, value, true);
      else view.setInt32(offsets[i] + 4 * j, value, true);
    }
  }
  return new Uint8Array(view.buffer);
}
