import type { KernelTimes } from '../engine.js';
import { Profile } from './profile.js';
import type { Dispatch } from './recording.js';

/** Where dispatches go: the command encoder of tfjs's backend. */
export interface Passes {
  /** The compute pass of the moment; a new one, which writes its times, where those are given. */
  computePass(timestampWrites?: GPUComputePassTimestampWrites): GPUComputePassEncoder;
  submitQueue(): void;
  /** Null where nothing waits to be submitted. */
  commandEncoder: GPUCommandEncoder | null;
}

// Dispatches in one submission: enough to cost little, few enough that the GPU starts early.
const BATCH = 48;

/** Encodes kernels, tfjs's and ours: pipelines by their code, and constants in buffers that are made once for each content. */
export class Launcher {
  /** Where it notes what it dispatches, while a step is recorded. */
  noted: Dispatch[] | undefined;
  private profile: Profile | undefined;
  private readonly constants = new Map<string, GPUBuffer>();
  private readonly pipelines = new Map<string, GPUComputePipeline>();
  private readonly layouts = new Map<string, GPUPipelineLayout>();
  private dispatches = 0;

  constructor(
    private readonly device: GPUDevice,
    private readonly passes: Passes,
  ) {}

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

  /** Runs a kernel of this pipeline on these bindings. */
  encode(
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
    this.noted?.push(dispatch);
    this.dispatch(dispatch);
  }

  /** Runs a kernel with everything bound. */
  dispatch(dispatch: Dispatch): void {
    const { pipeline, bindGroup, workgroups } = dispatch;
    const pass = this.passes.computePass(this.profile?.next(dispatch));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    if (++this.dispatches >= BATCH) {
      this.passes.submitQueue();
    }
  }

  /** The queue was submitted. */
  submitted(): void {
    this.dispatches = 0;
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
    if (this.passes.commandEncoder) {
      this.passes.submitQueue();
    }
    return profile.read();
  }

  /** A uniform buffer of this content. */
  constantBuffer(bytes: Uint8Array): GPUBuffer {
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

  dispose(): void {
    for (const buffer of this.constants.values()) {
      buffer.destroy();
    }
    this.constants.clear();
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
}
