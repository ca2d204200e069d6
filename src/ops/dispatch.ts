import * as tf from '@tensorflow/tfjs-core';

/** Named inputs of a kernel; those that are undefined are left out. */
export type KernelInputs = Record<string, tf.Tensor | undefined>;
/** Attributes of a kernel: plain values that are no tensors. */
export type KernelAttributes = Record<string, unknown>;

/** Whether the current backend has registered a kernel under `name`; where not, an operation runs its reference. */
export function hasKernel(name: string): boolean {
  return tf.getKernel(name, tf.getBackend()) != null;
}

/** Runs the current backend's kernel `name` and returns its outputs. Nothing is recorded for differentiation. */
export function runKernel(name: string, inputs: KernelInputs, attributes: KernelAttributes = {}): tf.Tensor[] {
  const outputs = tf.engine().runKernel(name, present(inputs), attributes as unknown as tf.NamedAttrMap) as unknown as
    | tf.Tensor
    | tf.Tensor[];
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** An operation with a gradient of its own. */
export interface Differentiable {
  /** The tensors that gradients flow to; those that are undefined are left out. */
  inputs: KernelInputs;
  /** Computes the outputs; `save` keeps the tensors that `backward` needs. Called once. */
  forward(save: (tensors: tf.Tensor[]) => void): tf.Tensor[];
  /** Gradients of the outputs and what was saved, to gradients of every input, by name. */
  backward(gradients: tf.Tensor[], saved: tf.Tensor[]): KernelInputs;
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
  return engine.runKernelFunc({
    inputs: present(operation.inputs),
    attrs: {},
    forwardFunc: (_backend: unknown, save: (tensors: tf.Tensor[]) => void) => operation.forward(save),
    backwardsFunc: (received: tf.Tensor | tf.Tensor[], saved: tf.Tensor[]) => {
      const gradients = Array.isArray(received) ? received : [received];
      const results = tf.tidy(() => present(operation.backward(gradients, saved)));
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

function present(inputs: KernelInputs): tf.NamedTensorMap {
  return Object.fromEntries(Object.entries(inputs).filter(([, tensor]) => tensor !== undefined)) as tf.NamedTensorMap;
}

/** The auxiliary outputs of a forward kernel as inputs of its gradient: aux0, aux1, … */
export function auxiliary(tensors: tf.Tensor[]): KernelInputs {
  return Object.fromEntries(tensors.map((tensor, i) => [`aux${i}`, tensor]));
}

/**
 * An attention of the current backend, differentiable in qkv: the kernel `name` of qkv and the other inputs, whose
 * first output is the attended values [B, L, D], and `{name}Grad` of dy, the same inputs, `out`, and the kernel's
 * further outputs as aux0, aux1, …, whose output is the gradient of qkv.
 */
export function attentionKernel(
  name: string,
  qkv: tf.Tensor3D,
  others: KernelInputs,
  attributes: KernelAttributes,
): tf.Tensor3D {
  const inputs = present({ qkv, ...others });
  return differentiable({
    inputs: { qkv },
    forward: (save) => {
      const outputs = runKernel(name, inputs, attributes);
      save([...Object.values(inputs), ...outputs]);
      return [outputs[0]];
    },
    backward: ([dy], saved) => {
      const names = Object.keys(inputs);
      const before = Object.fromEntries(names.map((input, i) => [input, saved[i]]));
      const [out, ...aux] = saved.slice(names.length);
      return { qkv: runKernel(`${name}Grad`, { dy, ...before, out, ...auxiliary(aux) }, attributes)[0] };
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
