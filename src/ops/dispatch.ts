import * as tf from '@tensorflow/tfjs-core';
import { type AttentionContracts, type Named, run, type TensorTypes } from './kernel.js';

type OptionalTensors = Record<string, tf.Tensor | undefined>;

/** An operation with a gradient of its own. */
export interface Differentiable {
  /** The tensors that gradients flow to; those that are undefined are left out. */
  inputs: OptionalTensors;
  /** Computes the outputs; `save` keeps the tensors that `backward` needs, by name. Called once. */
  forward(save: (tensors: OptionalTensors) => void): tf.Tensor[];
  /** Gradients of the outputs and what was saved, to gradients of every input, by name. */
  backward(gradients: tf.Tensor[], saved: Record<string, tf.Tensor>): OptionalTensors;
}

/**
 * Runs an operation and records its gradient. tf.customGrad does the same for a single output; this one takes several,
 * and releases what was saved, and the gradients that flowed in, as soon as `backward` has run: tfjs itself keeps both
 * until the whole backward pass is over, which doubles a training step's memory.
 */
export function differentiable(operation: Differentiable): tf.Tensor[] {
  const engine = tf.engine() as unknown as {
    runKernelFunc(invocation: object): tf.Tensor[];
    state: { activeScope: { id: number } };
  };
  let names: string[] = [];
  return engine.runKernelFunc({
    inputs: present(operation.inputs),
    attrs: {},
    forwardFunc: (_backend: unknown, save: (tensors: tf.Tensor[]) => void) =>
      operation.forward((tensors) => {
        const kept = present(tensors);
        names = Object.keys(kept);
        save(Object.values(kept));
      }),
    backwardsFunc: (received: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
      const gradients = Array.isArray(received) ? received : [received];
      const named = Object.fromEntries(names.map((name, i) => [name, saved[i]]));
      const results = tf.tidy(() => present(operation.backward(gradients, named)));
      const kept = new Set(Object.values(results));
      for (const tensor of saved) {
        if (!kept.has(tensor)) {
          tensor.dispose();
        }
      }
      // A gradient that the caller of tf.grads passed in belongs to the caller: it was not made in this scope.
      const scope = engine.state.activeScope.id;
      for (const tensor of gradients) {
        if (tensor.scopeId === scope && !kept.has(tensor)) {
          tensor.dispose();
        }
      }
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, () => tensor]));
    },
  });
}

function present(tensors: OptionalTensors): tf.NamedTensorMap {
  return Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => tensor !== undefined)) as tf.NamedTensorMap;
}

/** An attention of the current backend, differentiable in qkv, by its two kernels. */
export function attentionKernel<Attributes extends object, Inputs extends TensorTypes, Saved extends TensorTypes>(
  { forward, gradient }: AttentionContracts<Attributes, Inputs, Saved>,
  qkv: tf.Tensor3D,
  others: Named<Inputs, tf.Tensor>,
  attributes: Attributes,
): tf.Tensor3D {
  const inputs = { qkv, ...others } as Named<{ qkv: 'float32' } & Inputs, tf.Tensor>;
  return differentiable({
    inputs: { qkv },
    forward: (save) => {
      const { outputs, saved } = run(forward, inputs, attributes);
      save({ ...inputs, out: outputs.out, ...saved } as OptionalTensors);
      return [outputs.out];
    },
    backward: ([dy], saved) => {
      const all = { dy, ...saved } as Named<typeof gradient.inputs, tf.Tensor>;
      return { qkv: run(gradient, all, attributes).outputs.dqkv };
    },
  })[0] as tf.Tensor3D;
}

/** x [..., D] as rows [R, D]; x itself where it is that already, which spares the tape a node. */
export function asRows(x: tf.Tensor): tf.Tensor2D {
  return (x.rank === 2 ? x : tf.reshape(x, [-1, x.shape[x.rank - 1]])) as tf.Tensor2D;
}

/** The inverse of `asRows`: rows as a tensor of `shape`. */
export function fromRows(rows: tf.Tensor, shape: number[]): tf.Tensor {
  return shape.length === 2 ? rows : tf.reshape(rows, shape);
}
