import type { DataType, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { type Step, type StepInput, type StepUnderWay, toTensors } from '../steps.js';
import type { BufferPool } from './bufferPool.js';
import type { Launcher } from './launcher.js';
import { type Dispatch, type Recorded, Recording } from './recording.js';

/** What recording needs of the backend whose steps are recorded. */
export interface Host {
  bufferManager: BufferPool;
  tensorMap: {
    get(id: object): { values: unknown; resource: GPUBuffer | null; external?: boolean };
    has(id: object): boolean;
  };
  queue: GPUQueue;
  commandEncoder: GPUCommandEncoder | null;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  makeTensorInfo(shape: number[], dtype: DataType): TensorInfo;
  resourceOf(tensor: TensorInfo, written: boolean): GPUBuffer;
  /** Throws where the GPU has reported an error or was lost. */
  assertSound(): void;
}

// Steps that are kept recorded: each keeps its buffers.
const RECORDINGS = 4;
// Seeds of dropout that are kept: those of the steps under way.
const SEEDS = 64;

/** Records steps and replays them. */
export class Recorder {
  /** The one under way. */
  recording: Recording | undefined;
  private readonly recordings = new Map<string, Recording>();
  private readonly seeds = new Map<number, GPUBuffer>();
  private readonly owners = new WeakMap<object, number>();
  private nextOwner = 0;

  constructor(
    private readonly host: Host,
    private readonly launcher: Launcher,
  ) {}

  /**
   * Begins a step. The first one of each `name` and owner is recorded, later ones are replayed: the same kernels on the
   * same buffers, with these inputs and seeds, without the JavaScript of `step`.
   */
  beginStep(owner: object, name: string, inputs: Record<string, StepInput>, seeds: number[], step: Step): StepUnderWay {
    const key = `${this.numberOf(owner)}/${name}`;
    const known = this.recordings.get(key);
    this.recordings.delete(key);
    if (this.host.commandEncoder) {
      this.host.submitQueue();
    }
    if (known && this.isCurrent(known)) {
      this.replayBegin(known, inputs, seeds);
      return this.underWay(key, known, () => this.replayPart(known, known.finish));
    }
    if (known) {
      this.host.bufferManager.clear(known.arena);
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
          if (this.host.commandEncoder) {
            this.host.submitQueue();
          }
          this.host.queue.writeBuffer(recording.results.get(name)!.buffer, 0, values as Float32Array<ArrayBuffer>);
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
          if (this.host.commandEncoder) {
            this.host.submitQueue();
          }
          tf.dispose([views ?? [], recording.kept]);
          this.host.bufferManager.clear(recording.arena);
        }
      },
    };
  }

  /** Keeps a recording for the next step of its key; the most recently used one is the last. */
  private keep(key: string, recording: Recording): void {
    const other = this.recordings.get(key);
    if (other) {
      this.host.bufferManager.clear(other.arena);
    }
    this.recordings.set(key, recording);
    if (this.recordings.size > RECORDINGS) {
      const [[oldest, { arena }]] = this.recordings;
      this.host.bufferManager.clear(arena);
      this.recordings.delete(oldest);
    }
  }

  /** A tensor on a buffer of a recording: it leaves the buffer there when it goes. */
  private view({ buffer, shape, dtype }: Recorded): tf.Tensor {
    const info = this.host.makeTensorInfo(shape, dtype);
    const data = this.host.tensorMap.get(info.dataId);
    data.resource = buffer;
    data.external = true;
    return tf.engine().makeTensorFromTensorInfo(info);
  }

  private copyOf({ buffer, shape, dtype }: Recorded): tf.Tensor {
    const output = this.host.makeTensorInfo(shape, dtype);
    const target = this.host.resourceOf(output, true);
    this.host.ensureCommandEncoderReady();
    this.host.endComputePassEncoder();
    this.host.commandEncoder!.copyBufferToBuffer(buffer, 0, target, 0, buffer.size);
    this.host.submitQueue();
    return tf.engine().makeTensorFromTensorInfo(output);
  }

  /** Records the first part; what it returns records the second. */
  private record(recording: Recording, inputs: Record<string, StepInput>, seeds: number[], step: Step): () => void {
    this.host.bufferManager.trim(0);
    let tensors: Record<string, tf.Tensor> = {};
    let results: Record<string, tf.Tensor> = {};
    this.recordPart(recording, recording.begin, () => {
      for (const seed of seeds) {
        this.seeds.delete(seed);
        const buffer = this.host.bufferManager.upload(Int32Array.of(seed), 'int32');
        recording.seeds.push(buffer);
        this.seeds.set(seed, buffer);
      }
      try {
        tf.tidy(() => {
          tensors = toTensors(inputs);
          for (const [name, tensor] of Object.entries(tensors)) {
            recording.inputs.set(name, this.host.resourceOf(tensor, false));
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
          this.host.tensorMap.get(output.dataId).external = true;
        });
        tf.dispose(recording.kept);
      });
      for (const id of recording.made) {
        if (!this.host.tensorMap.has(id)) {
          continue;
        }
        this.host.bufferManager.clear(recording.arena);
        throw new Error(
          'a step that is replayed may change variables in place only, and keep no tensor but its result',
        );
      }
    };
  }

  private recordPart<T>(recording: Recording, dispatches: Dispatch[], compute: () => T): T {
    return this.host.bufferManager.within(recording.arena, () => {
      this.recording = recording;
      this.launcher.noted = dispatches;
      try {
        return compute();
      } finally {
        this.recording = undefined;
        this.launcher.noted = undefined;
      }
    });
  }

  private recorded(tensor: tf.Tensor): Recorded {
    return { buffer: this.host.resourceOf(tensor, false), shape: tensor.shape, dtype: tensor.dtype };
  }

  private numberOf(owner: object): number {
    const number = this.owners.get(owner) ?? this.nextOwner++;
    this.owners.set(owner, number);
    return number;
  }

  /** Whether a recording's buffers still are those of the tensors and variables that it used. */
  private isCurrent({ outsiders }: Recording): boolean {
    for (const { id, buffer, variable } of outsiders.values()) {
      if (!this.host.tensorMap.has(id) || this.host.tensorMap.get(id).resource !== buffer) {
        return false;
      }
      if (variable && variable.dataId !== id) {
        return false;
      }
    }
    return true;
  }

  private replayBegin(recording: Recording, inputs: Record<string, StepInput>, seeds: number[]): void {
    this.host.assertSound();
    for (const [name, { values }] of Object.entries(inputs)) {
      this.host.queue.writeBuffer(recording.inputs.get(name)!, 0, values as Int32Array<ArrayBuffer>);
    }
    for (const [i, seed] of seeds.entries()) {
      this.host.queue.writeBuffer(recording.seeds[i], 0, Int32Array.of(seed));
    }
    this.replayPart(recording, recording.begin);
  }

  private replayPart(recording: Recording, dispatches: readonly Dispatch[]): void {
    for (const { id, written } of recording.outsiders.values()) {
      if (written) {
        this.host.tensorMap.get(id).values = null;
      }
    }
    for (const dispatch of dispatches) {
      this.launcher.dispatch(dispatch);
    }
  }

  /** A buffer that holds a seed of dropout; in a step that is recorded, one that replays rewrite. */
  seedBuffer(seed: number): GPUBuffer {
    let buffer = this.seeds.get(seed);
    if (!buffer) {
      buffer = this.host.bufferManager.outside(() => this.host.bufferManager.upload(Int32Array.of(seed), 'int32'));
      this.seeds.set(seed, buffer);
      const [oldest] = this.seeds.keys();
      if (this.seeds.size > SEEDS) {
        this.host.bufferManager.releaseBuffer(this.seeds.get(oldest)!, false);
        this.seeds.delete(oldest);
      }
    }
    return buffer;
  }

  dispose(): void {
    for (const { arena } of this.recordings.values()) {
      this.host.bufferManager.clear(arena);
    }
    this.recordings.clear();
  }
}
