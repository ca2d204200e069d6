import { setImmediate } from 'node:timers/promises';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { DeviceLostError } from '../engine.js';
import { BufferPool } from './bufferPool.js';
import type { Gpu, MatrixUnits } from './gpu.js';
import { toFloats } from './kernels/launch.js';
import { Launcher, type Passes } from './launcher.js';
import { type Host, Recorder } from './recorder.js';

/** One tensor's values in tfjs's WebGPU backend: on the GPU (`resource`), or not yet uploaded (`values`). */
interface TensorData {
  values: tf.backend_util.TypedArray | null;
  dtype: DataType;
  shape: number[];
  refCount: number;
  resource: GPUBuffer | null;
  /** Not of the pool: its buffer stays when the tensor goes. */
  external?: boolean;
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
  write(values: tf.backend_util.BackendValues, shape: number[], dtype: DataType): object;
  bufferManager: BufferPool;
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
  disposed: boolean;
  dispose(): void;
}

const Tfjs = WebGPUBackend as unknown as new (device: GPUDevice, info: GPUAdapterInfo) => TfjsBackend;

/**
 * tfjs's WebGPU backend for a headless Node.js, which our kernels launch through.
 *
 * It differs in this: a tensor's buffer returns to the pool when the tensor goes, not at the next submission (the
 * order of dispatches already keeps its next use behind its last); constants of a kernel live in buffers that are made
 * once for each content; and what goes wrong on the GPU ends the next read with an error instead of a console line.
 */
export class Backend extends Tfjs implements Gpu, Passes, Host {
  /** Products whose operands may be rounded to 16 bits run on these. */
  matrixUnits: MatrixUnits | undefined;
  private failure: Error | undefined;
  private lost = false;
  readonly launcher: Launcher;
  readonly recorder: Recorder;

  constructor(device: GPUDevice, info: GPUAdapterInfo) {
    super(device, info);
    this.bufferManager = new BufferPool(device);
    this.launcher = new Launcher(device, this);
    this.recorder = new Recorder(this, this.launcher);
    device.addEventListener('uncapturederror', (event) => {
      this.failure ??= new Error(`the GPU reports: ${event.error.message}`);
    });
    void device.lost.then(({ reason, message }) => {
      if (this.disposed) {
        return;
      }
      this.lost = true;
      this.failure = new DeviceLostError(`the GPU was lost (${message.split('\n')[0] || reason})`);
    });
  }

  /** Values of a tensor on the GPU. Rejects where the GPU has reported an error or was lost. */
  override async read(id: object): Promise<tf.backend_util.BackendValues> {
    this.assertSound();
    let values: tf.backend_util.BackendValues;
    try {
      values = await super.read(id);
    } catch (error) {
      // Whoever waits for values hears before us that there will be none.
      await setImmediate();
      throw this.failure ?? error;
    }
    this.assertSound();
    return values;
  }

  override readSync(id: object): tf.backend_util.BackendValues {
    const { values } = this.tensorMap.get(id);
    if (values) {
      return values;
    }
    throw new Error('the webgpu engine cannot wait for values: await tensor.data(), not dataSync() or arraySync()');
  }

  override disposeData(id: object, force = false): boolean {
    if (!this.tensorMap.has(id)) {
      return true;
    }
    const data = this.tensorMap.get(id);
    data.refCount = force ? 0 : data.refCount - 1;
    if (data.refCount > 0) {
      return false;
    }
    if (data.dtype === 'complex64') {
      return super.disposeData(id, true);
    }
    this.releaseResource(id);
    this.tensorMap.delete(id);
    return true;
  }

  override write(values: tf.backend_util.BackendValues, shape: number[], dtype: DataType): object {
    const id = super.write(values, shape, dtype);
    this.recorder.recording?.made.add(id);
    return id;
  }

  override uploadToGPU(id: object): void {
    const data = this.tensorMap.get(id);
    const { recording } = this.recorder;
    if (!recording || data.resource) {
      super.uploadToGPU(id);
    } else if (!recording.made.has(id)) {
      // A tensor from outside that was not needed before: a parameter in its first step.
      this.bufferManager.outside(() => super.uploadToGPU(id));
    } else if (data.values) {
      // A constant of the step: a replay does not upload it again, so nothing else may use its buffer.
      data.external = true;
      data.resource = this.bufferManager.upload(data.values as tf.backend_util.TypedArray, data.dtype);
      data.values = null;
    } else {
      super.uploadToGPU(id);
    }
  }

  override submitQueue(): void {
    this.endComputePassEncoder();
    super.submitQueue();
    this.bufferManager.trim();
    this.launcher.submitted();
  }

  computePass(timestampWrites?: GPUComputePassTimestampWrites): GPUComputePassEncoder {
    this.ensureCommandEncoderReady();
    if (timestampWrites) {
      this.endComputePassEncoder();
      this.computePassEncoder = this.commandEncoder!.beginComputePass({ timestampWrites });
    }
    this.computePassEncoder ??= this.commandEncoder!.beginComputePass();
    return this.computePassEncoder;
  }

  override makeUniforms(uniforms: Uniforms): GPUBufferBinding {
    return { buffer: this.launcher.constantBuffer(layOut(uniforms)) };
  }

  override runWebGPUProgram(program: Program, inputs: TensorInfo[], ...rest: unknown[]): TensorInfo {
    // The code of cumsum and cumprod has the length in it, which tfjs forgot in the key that it is found again by.
    if (program.constructor.name === 'CumProgram') {
      program.shaderKey += `_${program.outputShape.at(-1)}`;
    }
    // Integers that tfjs has renamed to floats: most of its kernels convert as they read, some forget to.
    const floats = inputs.map((tensor) => (this.isRenamed(tensor) ? toFloats(this, tensor) : tensor));
    const output = super.runWebGPUProgram(program, floats, ...rest);
    for (const [i, tensor] of floats.entries()) {
      if (tensor !== inputs[i]) {
        this.disposeData(tensor.dataId);
      }
    }
    return output;
  }

  private isRenamed({ dataId, dtype }: TensorInfo): boolean {
    return dtype === 'float32' && this.tensorMap.get(dataId).dtype !== 'float32';
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
    const bindings: GPUBufferBinding[] = [
      { buffer: this.writableBufferOf(output) },
      ...inputs.map((tensor) => this.tensorToBinding(tensor)),
    ];
    bindings.push(this.makeUniforms([...uniforms, ...more]));
    this.launcher.encode(program.constructor.name, program.pipeline, bindings, program.dispatch);
  }

  override tensorToBinding(tensor: TensorInfo): GPUBufferBinding {
    return { buffer: this.resourceOf(tensor, false) };
  }

  /** The buffer of a tensor on the GPU, uploaded or allocated if it is not there yet. */
  bufferOf(tensor: TensorInfo): GPUBuffer {
    const buffer = this.resourceOf(tensor, false);
    const { dtype } = this.tensorMap.get(tensor.dataId);
    if ((dtype === 'float32') !== (tensor.dtype === 'float32')) {
      throw new Error(`a tensor of ${tensor.dtype} whose values are ${dtype}: cast it with tf.cast`);
    }
    return buffer;
  }

  /** As `bufferOf`, for a kernel that writes: values that were read before are forgotten. */
  writableBufferOf(tensor: TensorInfo): GPUBuffer {
    const buffer = this.resourceOf(tensor, true);
    this.tensorMap.get(tensor.dataId).values = null;
    return buffer;
  }

  /** A tensor's buffer, noted in the step that is recorded. */
  resourceOf(tensor: TensorInfo, written: boolean): GPUBuffer {
    this.uploadToGPU(tensor.dataId);
    const { resource } = this.tensorMap.get(tensor.dataId);
    this.recorder.recording?.use(tensor, resource!, written, tensor instanceof tf.Variable);
    return resource!;
  }

  override dispose(): void {
    this.recorder.dispose();
    this.launcher.dispose();
    super.dispose();
  }

  assertSound(): void {
    const { failure } = this;
    if (!failure) {
      return;
    }
    // A lost GPU stays lost.
    if (!this.lost) {
      this.failure = undefined;
    }
    throw failure;
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
      if (type === 'float32') {
        view.setFloat32(offsets[i] + 4 * j, value, true);
      } else {
        view.setInt32(offsets[i] + 4 * j, value, true);
      }
    }
  }
  return new Uint8Array(view.buffer);
}
