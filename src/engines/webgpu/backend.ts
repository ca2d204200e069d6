import { setImmediate } from 'node:timers/promises';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type { DataType, KernelBackend, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { DeviceLostError, type KernelTimes } from '../engine.js';
import { type Step, type StepInput, type StepUnderWay, toTensors } from '../steps.js';
import { BufferPool } from './bufferPool.js';
import { toFloats } from './kernels/launch.js';
import type { MatrixUnits } from './kernels/matrixUnits.js';
import { Profile } from './profile.js';
import { type Dispatch, type Recorded, Recording } from './recording.js';

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

// Dispatches in one submission: enough to cost little, few enough that the GPU starts early.
const BATCH = 48;
// Steps that are kept recorded: each keeps its buffers.
const RECORDINGS = 4;
// Seeds of dropout that are kept: those of the steps under way.
const SEEDS = 64;

/**
 * tfjs's WebGPU backend for a headless Node.js, and what our kernels launch through.
 *
 * It differs in this: a tensor's buffer returns to the pool when the tensor goes, not at the next submission (the
 * order of dispatches already keeps its next use behind its last); constants of a kernel live in buffers that are made
 * once for each content; and what goes wrong on the GPU ends the next read with an error instead of a console line.
 */
export class Backend extends Tfjs {
  /** Products whose operands may be rounded to 16 bits run on these. */
  matrixUnits: MatrixUnits | undefined;
  private failure: Error | undefined;
  private lost = false;
  private profile: Profile | undefined;
  private readonly constants = new Map<string, GPUBuffer>();
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUPipelineLayout>();
  private readonly recordings = new Map<string, Recording>();
  private readonly seeds = new Map<number, GPUBuffer>();
  private readonly owners = new WeakMap<object, number>();
  private nextOwner = 0;
  private recording: Recording | undefined;
  /** The dispatches of the part that is being recorded. */
  private recorder: Dispatch[] | undefined;
  private dispatches = 0;

  constructor(device: GPUDevice, info: GPUAdapterInfo) {
    super(device, info);
    this.bufferManager = new BufferPool(device);
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
    this.recording?.made.add(id);
    return id;
  }

  override uploadToGPU(id: object): void {
    const data = this.tensorMap.get(id);
    if (!this.recording || data.resource) {
      super.uploadToGPU(id);
    } else if (!this.recording.made.has(id)) {
      // A tensor from outside that was not needed before: a parameter in its first step.
      this.bufferManager.outside(() => super.uploadToGPU(id));
    } else if (data.values) {
      // A constant of the step: a replay does not upload it again, so nothing else may use its buffer.
      data.external = true;
      data.resource = this.upload(data.values as tf.backend_util.TypedArray, data.dtype);
      data.values = null;
    } else {
      super.uploadToGPU(id);
    }
  }

  override submitQueue(): void {
    this.endComputePassEncoder();
    super.submitQueue();
    this.bufferManager.trim();
    this.dispatches = 0;
  }

  override makeUniforms(uniforms: Uniforms): GPUBufferBinding {
    return { buffer: this.constantBuffer(layOut(uniforms)) };
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
    this.encode(program.constructor.name, program.pipeline, bindings, program.dispatch);
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

  private resourceOf(tensor: TensorInfo, written: boolean): GPUBuffer {
    this.uploadToGPU(tensor.dataId);
    const { resource } = this.tensorMap.get(tensor.dataId);
    this.recording?.use(tensor, resource!, written, tensor instanceof tf.Variable);
    return resource!;
  }

  /** A buffer that holds a seed of dropout; in a step that is recorded, one that replays rewrite. */
  seedBuffer(seed: number): GPUBuffer {
    let buffer = this.seeds.get(seed);
    if (!buffer) {
      buffer = this.bufferManager.outside(() => this.upload(Int32Array.of(seed), 'int32'));
      this.seeds.set(seed, buffer);
      const [oldest] = this.seeds.keys();
      if (this.seeds.size > SEEDS) {
        this.bufferManager.releaseBuffer(this.seeds.get(oldest)!, false);
        this.seeds.delete(oldest);
      }
    }
    return buffer;
  }

  /**
   * Begins a step. The first one of each `name` and owner is recorded, later ones are replayed: the same kernels on the
   * same buffers, with these inputs and seeds, without the JavaScript of `step`.
   */
  beginStep(owner: object, name: string, inputs: Record<string, StepInput>, seeds: number[], step: Step): StepUnderWay {
    const key = `${this.numberOf(owner)}/${name}`;
    const known = this.recordings.get(key);
    this.recordings.delete(key);
    if (this.commandEncoder) {
      this.submitQueue();
    }
    if (known && this.isCurrent(known)) {
      this.replayBegin(known, inputs, seeds);
      return this.underWay(key, known, () => this.replayPart(known, known.finish));
    }
    if (known) {
      this.bufferManager.clear(known.arena);
    }
    const recording = new Recording();
    const finish = this.record(recording, inputs, seeds, step);
    return this.underWay(key, recording, finish);
  }

  private underWay(key: string, recording: Recording, finish: () => void): StepUnderWay {
    let views: Record<string, tf.Tensor> | undefined;
    const end = () => {
      tf.dispose(views);
      this.keep(key, recording);
    };
    return {
      results: () => {
        views ??= Object.fromEntries([...recording.results].map(([name, result]) => [name, this.view(result)]));
        return views;
      },
      finish: (changed = {}) => {
        for (const [name, values] of Object.entries(changed)) {
          if (this.commandEncoder) {
            this.submitQueue();
          }
          this.queue.writeBuffer(recording.results.get(name)!.buffer, 0, values as Float32Array<ArrayBuffer>);
        }
        finish();
        end();
        return this.copyOf(recording.output!);
      },
      abandon: () => {
        if (recording.output) {
          end();
        } else {
          // What was recorded is encoded too, and uses the buffers.
          if (this.commandEncoder) {
            this.submitQueue();
          }
          tf.dispose([views ?? [], recording.kept]);
          this.bufferManager.clear(recording.arena);
        }
      },
    };
  }

  /** Keeps a recording for the next step of its key; the most recently used one is the last. */
  private keep(key: string, recording: Recording): void {
    const other = this.recordings.get(key);
    if (other) {
      this.bufferManager.clear(other.arena);
    }
    this.recordings.set(key, recording);
    if (this.recordings.size > RECORDINGS) {
      const [[oldest, { arena }]] = this.recordings;
      this.bufferManager.clear(arena);
      this.recordings.delete(oldest);
    }
  }

  /** A tensor on a buffer of a recording: it leaves the buffer there when it goes. */
  private view({ buffer, shape, dtype }: Recorded): tf.Tensor {
    const info = this.makeTensorInfo(shape, dtype);
    const data = this.tensorMap.get(info.dataId);
    data.resource = buffer;
    data.external = true;
    return tf.engine().makeTensorFromTensorInfo(info);
  }

  private copyOf({ buffer, shape, dtype }: Recorded): tf.Tensor {
    const output = this.makeTensorInfo(shape, dtype);
    const target = this.resourceOf(output, true);
    this.ensureCommandEncoderReady();
    this.endComputePassEncoder();
    this.commandEncoder!.copyBufferToBuffer(buffer, 0, target, 0, buffer.size);
    this.submitQueue();
    return tf.engine().makeTensorFromTensorInfo(output);
  }

  /** Records the first part; what it returns records the second. */
  private record(recording: Recording, inputs: Record<string, StepInput>, seeds: number[], step: Step): () => void {
    this.bufferManager.trim(0);
    let tensors: Record<string, tf.Tensor> = {};
    let results: Record<string, tf.Tensor> = {};
    this.recordPart(recording, recording.begin, () => {
      for (const seed of seeds) {
        this.seeds.delete(seed);
        const buffer = this.upload(Int32Array.of(seed), 'int32');
        recording.seeds.push(buffer);
        this.seeds.set(seed, buffer);
      }
      try {
        tf.tidy(() => {
          tensors = toTensors(inputs);
          for (const [name, tensor] of Object.entries(tensors)) {
            recording.inputs.set(name, this.resourceOf(tensor, false));
          }
          results = step.begin(tensors);
          for (const [name, tensor] of Object.entries(results)) {
            recording.results.set(name, this.recorded(tensor));
          }
          recording.kept.push(
            ...[...Object.values(tensors), ...Object.values(results)].map((tensor) => tf.keep(tensor)),
          );
        });
      } finally {
        for (const seed of seeds) {
          this.seeds.delete(seed);
        }
      }
    });
    return () => {
      this.recordPart(recording, recording.finish, () => {
        tf.tidy(() => {
          const output = step.finish(results, tensors);
          recording.output = this.recorded(output);
          // Kept by the recording, not by the tensor.
          this.tensorMap.get(output.dataId).external = true;
        });
        tf.dispose(recording.kept);
      });
      for (const id of recording.made) {
        if (!this.tensorMap.has(id)) {
          continue;
        }
        this.bufferManager.clear(recording.arena);
        throw new Error(
          'a step that is replayed may change variables in place only, and keep no tensor but its result',
        );
      }
    };
  }

  private recordPart<T>(recording: Recording, dispatches: Dispatch[], compute: () => T): T {
    return this.bufferManager.within(recording.arena, () => {
      this.recording = recording;
      this.recorder = dispatches;
      try {
        return compute();
      } finally {
        this.recording = undefined;
        this.recorder = undefined;
      }
    });
  }

  private recorded(tensor: tf.Tensor): Recorded {
    return { buffer: this.resourceOf(tensor, false), shape: tensor.shape, dtype: tensor.dtype };
  }

  private numberOf(owner: object): number {
    const number = this.owners.get(owner) ?? this.nextOwner++;
    this.owners.set(owner, number);
    return number;
  }

  /** Whether a recording's buffers still are those of the tensors and variables that it used. */
  private isCurrent({ outsiders }: Recording): boolean {
    for (const { id, buffer, variable } of outsiders.values()) {
      if (!this.tensorMap.has(id) || this.tensorMap.get(id).resource !== buffer) {
        return false;
      }
      if (variable && variable.dataId !== id) {
        return false;
      }
    }
    return true;
  }

  private replayBegin(recording: Recording, inputs: Record<string, StepInput>, seeds: number[]): void {
    this.assertSound();
    for (const [name, { values }] of Object.entries(inputs)) {
      this.queue.writeBuffer(recording.inputs.get(name)!, 0, values as Int32Array<ArrayBuffer>);
    }
    for (const [i, seed] of seeds.entries()) {
      this.queue.writeBuffer(recording.seeds[i], 0, Int32Array.of(seed));
    }
    this.replayPart(recording, recording.begin);
  }

  private replayPart(recording: Recording, dispatches: readonly Dispatch[]): void {
    for (const { id, written } of recording.outsiders.values()) {
      if (written) {
        this.tensorMap.get(id).values = null;
      }
    }
    for (const dispatch of dispatches) {
      this.encodeDispatch(dispatch);
    }
  }

  private upload(values: tf.backend_util.TypedArray, dtype: DataType): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.bufferManager.acquireBuffer(4 * values.length, usage, true, false);
    const range = buffer.getMappedRange();
    if (dtype === 'float32') {
      new Float32Array(range).set(values);
    } else {
      new Int32Array(range).set(values);
    }
    buffer.unmap();
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
    flops = 0,
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
    this.encode(name, pipeline, bindings, workgroups, flops);
  }

  override dispose(): void {
    for (const { arena } of this.recordings.values()) {
      this.bufferManager.clear(arena);
    }
    this.recordings.clear();
    for (const buffer of this.constants.values()) {
      buffer.destroy();
    }
    this.constants.clear();
    super.dispose();
  }

  private assertSound(): void {
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

  private encode(
    name: string,
    pipeline: GPUComputePipeline,
    bindings: GPUBufferBinding[],
    workgroups: readonly [number, number, number],
    flops = 0,
  ): void {
    const bindGroup = this.device.createBindGroup({
      label: name,
      layout: pipeline.getBindGroupLayout(0),
      entries: bindings.map((resource, binding) => ({ binding, resource })),
    });
    const bytes = bindings.reduce((sum, { buffer }) => sum + buffer.size, 0);
    const dispatch = { name, pipeline, bindGroup, workgroups, flops, bytes };
    this.recorder?.push(dispatch);
    this.encodeDispatch(dispatch);
  }

  private encodeDispatch(dispatch: Dispatch): void {
    const { pipeline, bindGroup, workgroups } = dispatch;
    this.ensureCommandEncoderReady();
    if (this.profile) {
      this.endComputePassEncoder();
      this.computePassEncoder = this.commandEncoder!.beginComputePass({ timestampWrites: this.profile.next(dispatch) });
    }
    this.computePassEncoder ??= this.commandEncoder!.beginComputePass();
    this.computePassEncoder.setPipeline(pipeline);
    this.computePassEncoder.setBindGroup(0, bindGroup);
    this.computePassEncoder.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    if (++this.dispatches >= BATCH) {
      this.submitQueue();
    }
  }

  /** Runs `compute` and measures each of its kernels on the GPU, by name. Throws where the GPU tells no times. */
  async measureKernels(compute: () => Promise<unknown>): Promise<KernelTimes[]> {
    if (!this.device.features.has('timestamp-query')) {
      throw new Error('this GPU tells no times (timestamp-query)');
    }
    const profile = new Profile(this.device);
    this.profile = profile;
    try {
      await compute();
    } finally {
      this.profile = undefined;
    }
    if (this.commandEncoder) {
      this.submitQueue();
    }
    return profile.read();
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
      if (type === 'float32') {
        view.setFloat32(offsets[i] + 4 * j, value, true);
      } else {
        view.setInt32(offsets[i] + 4 * j, value, true);
      }
    }
  }
  return new Uint8Array(view.buffer);
}
