import type * as tf from '@tensorflow/tfjs-core';
import { type Contract, type Implementation, implement, type Named, type TensorTypes } from '../../../ops/kernel.js';
import type { NativeCall } from '../addon.js';
import type { NativeBackend } from '../backend.js';

type Result = tf.TensorInfo | tf.TensorInfo[];

/** What a kernel of tfjs is called with: tensors by name, those that are absent missing, and plain attributes. */
export interface TfjsCall<Attributes> {
  inputs: Record<string, tf.TensorInfo>;
  attrs: Attributes;
  backend: NativeBackend;
  /** Does what tfjs's own kernel of that name does, for types and shapes that ours leaves to it. */
  original(): Result;
}

/** A kernel of the CPU engine in the place of one of tfjs's. */
export interface Replacement {
  name: string;
  run(call: TfjsCall<never>): Result;
}

/** Ties a kernel's name to its function, whose attributes have the type `Attributes`. */
export function kernel<Attributes = unknown>(name: string, run: (call: TfjsCall<Attributes>) => Result): Replacement {
  return { name, run };
}

/** What a call of the addon needs beside the tensors that come in. */
interface Layout {
  /** Sizes and attributes, in the order in which native/operations_node.cc reads them. */
  sizes: (number | boolean)[];
  /** Shapes of the results, by name; one that is left out or undefined is not computed. */
  shapes: Record<string, number[] | undefined>;
  /** Shapes of what the kernel works in. */
  rooms?: (number[] | undefined)[];
}

/**
 * A kernel of src/ops that the addon computes. Its arrays are those of the contract, in its order: inputs, outputs, what
 * is saved; then the rooms. An absent one is undefined.
 */
export function native<
  Attributes extends object,
  Inputs extends TensorTypes,
  Outputs extends TensorTypes,
  Saved extends TensorTypes,
>(
  contract: Contract<Attributes, Inputs, Outputs, Saved>,
  entry: NativeCall,
  layOut: (inputs: Named<Inputs, tf.TensorInfo>, attributes: Attributes) => Layout,
): Implementation {
  const results = { ...contract.outputs, ...contract.saved };
  return implement<NativeBackend>()(contract, ({ inputs, attributes, backend }) => {
    const { sizes, shapes, rooms = [] } = layOut(inputs, attributes);
    const outputs: Record<string, tf.TensorInfo | undefined> = {};
    for (const name of Object.keys(results)) {
      const shape = shapes[name];
      outputs[name] = shape && backend.output(shape, results[name] === 'int32' ? 'int32' : 'float32');
    }
    const made = rooms.map((shape) => shape && backend.output(shape));
    backend.call(entry, sizes, [
      ...valuesOf(backend, contract.inputs, inputs),
      ...valuesOf(backend, results, outputs),
      ...made.map((room) => room && backend.floats(room)),
    ]);
    for (const room of made) {
      if (room) {
        backend.disposeData(room.dataId);
      }
    }
    return outputs as Named<Outputs, tf.TensorInfo> & Partial<Named<Saved, tf.TensorInfo>>;
  });
}

function valuesOf(backend: NativeBackend, types: TensorTypes, tensors: object) {
  return Object.entries(types).map(([name, type]) => {
    const tensor = (tensors as Record<string, tf.TensorInfo | tf.TensorInfo[] | undefined>)[name];
    if (Array.isArray(tensor)) {
      return tensor.map((one) => backend.floats(one));
    }
    return tensor && (type === 'int32' ? backend.integers(tensor) : backend.floats(tensor));
  });
}
