import * as tf from '@tensorflow/tfjs-core';

/** A tensor of a kernel: its type; `?` where it may be absent, `[]` for a list of them. */
export type TensorType = 'float32' | 'int32' | 'float32?' | 'float32[]';
export type TensorTypes = Readonly<Record<string, TensorType>>;

/** The tensors that `Types` names, each a `Tensor`. */
export type Named<Types extends TensorTypes, Tensor> = {
  [Name in keyof Types]: Types[Name] extends `${string}?`
    ? Tensor | undefined
    : Types[Name] extends `${string}[]`
      ? Tensor[]
      : Tensor;
};

/**
 * What a kernel is, for every engine: its tensors by name and its attributes. An engine implements it with `implement`,
 * an operation runs it with `run`. At most one of `outputs` and `saved` may be absent.
 */
export interface Contract<
  Attributes extends object = object,
  Inputs extends TensorTypes = TensorTypes,
  Outputs extends TensorTypes = TensorTypes,
  Saved extends TensorTypes = TensorTypes,
> {
  readonly name: string;
  readonly inputs: Inputs;
  readonly outputs: Outputs;
  /** What it returns beyond its outputs for its gradient, which has them as inputs of the same names. */
  readonly saved: Saved;
  /** Values of `Attributes` itself do not exist: it is there for the compiler. */
  readonly attributes?: Attributes;
  /** It changes inputs in place, and returns what it computed besides. */
  readonly inPlace: boolean;
}

const contracts = new Map<string, Contract>();

/**
 * Declares a kernel: `contract<Attributes>()({ name, inputs, outputs, … })`.
 * @example contract<{ rows: number }>()({ name: 'GatherRowsGrad', inputs: { dy: 'float32', indices: 'int32' }, outputs: { dx: 'float32' } })
 */
export function contract<Attributes extends object = object>() {
  return <
    const Inputs extends TensorTypes,
    const Outputs extends TensorTypes,
    const Saved extends TensorTypes = Record<never, never>,
  >(declared: {
    name: string;
    inputs: Inputs;
    outputs: Outputs;
    saved?: Saved;
    inPlace?: boolean;
  }): Contract<Attributes, Inputs, Outputs, Saved> => {
    const { saved = {} as Saved, inPlace = false } = declared;
    const made: Contract<Attributes, Inputs, Outputs, Saved> = { ...declared, saved, inPlace };
    if (results(made).filter(isOptional).length > 1 || results(made).some(([, type]) => type.endsWith('[]'))) {
      throw new Error(`kernel ${made.name}: one result at most may be absent, and none a list`);
    }
    contracts.set(made.name, made as unknown as Contract);
    return made;
  };
}

/** The kernels that the loaded operations have declared. */
export function declaredKernels(): Contract[] {
  return [...contracts.values()];
}

/** Outputs and saved tensors in the order in which tfjs sees them: one that may be absent is the last. */
function results({ outputs, saved }: Contract): [name: string, type: TensorType][] {
  const all = [...Object.entries(outputs), ...Object.entries(saved)];
  return [...all.filter((result) => !isOptional(result)), ...all.filter(isOptional)];
}

function isOptional([, type]: [string, TensorType]): boolean {
  return type.endsWith('?');
}

/** What an engine's kernel is called with. */
export interface KernelCall<Inputs extends TensorTypes, Attributes, Backend> {
  inputs: Named<Inputs, tf.TensorInfo>;
  attributes: Attributes;
  backend: Backend;
}

/** A kernel of an engine: what it is, and how it is computed. */
export interface Implementation {
  contract: Contract;
  kernelFunc: tf.KernelFunc;
}

/**
 * An engine's way to compute a kernel, to be registered under its backend's name by `registerKernels`:
 * `implement<Backend>()(CONTRACT, ({ inputs, attributes, backend }) => …)`, which returns outputs, and what is saved, by
 * name.
 */
export function implement<Backend>() {
  return <
    Attributes extends object,
    Inputs extends TensorTypes,
    Outputs extends TensorTypes,
    Saved extends TensorTypes,
  >(
    of: Contract<Attributes, Inputs, Outputs, Saved>,
    compute: (
      call: KernelCall<Inputs, Attributes, Backend>,
    ) => Named<Outputs, tf.TensorInfo> & Partial<Named<Saved, tf.TensorInfo>>,
  ): Implementation => {
    const order = results(of as unknown as Contract).map(([name]) => name);
    const lists = Object.keys(of.inputs).filter((name) => of.inputs[name].endsWith('[]'));
    return {
      contract: of as unknown as Contract,
      kernelFunc: ({ inputs, attrs, backend }) => {
        const named = lists.length > 0 ? gatherLists(inputs as tf.NamedTensorInfoMap, lists) : inputs;
        const computed = compute({
          inputs: named as unknown as Named<Inputs, tf.TensorInfo>,
          attributes: attrs as unknown as Attributes,
          backend: backend as Backend,
        }) as Record<string, tf.TensorInfo | undefined>;
        return order.flatMap((name) => computed[name] ?? []);
      },
    };
  };
}

/** Makes an engine's kernels known to tfjs. */
export function registerKernels(backendName: string, implementations: readonly Implementation[]): void {
  for (const { contract: of, kernelFunc } of implementations) {
    tf.registerKernel({ kernelName: of.name, backendName, kernelFunc });
  }
}

/** Whether the current backend has this kernel; where not, an operation runs its reference. */
export function hasKernel(of: { name: string }): boolean {
  return tf.getKernel(of.name, tf.getBackend()) != null;
}

/** Runs the current backend's kernel. Nothing is recorded for differentiation. */
export function run<
  Attributes extends object,
  Inputs extends TensorTypes,
  Outputs extends TensorTypes,
  Saved extends TensorTypes,
>(
  of: Contract<Attributes, Inputs, Outputs, Saved>,
  inputs: Named<Inputs, tf.Tensor>,
  attributes: Attributes,
): { outputs: Named<Outputs, tf.Tensor>; saved: Named<Saved, tf.Tensor> } {
  const given: tf.NamedTensorMap = {};
  for (const [name, value] of Object.entries(inputs) as [string, tf.Tensor | tf.Tensor[] | undefined][]) {
    if (Array.isArray(value)) {
      value.forEach((tensor, i) => {
        given[`${name}${i}`] = tensor;
      });
    } else if (value) {
      given[name] = value;
    }
  }
  const computed = tf.engine().runKernel(of.name, given, attributes as unknown as tf.NamedAttrMap) as unknown as
    | tf.Tensor
    | tf.Tensor[];
  const list = Array.isArray(computed) ? computed : [computed];
  const outputs: Record<string, tf.Tensor> = {};
  const saved: Record<string, tf.Tensor> = {};
  results(of as unknown as Contract).forEach(([name], i) => {
    if (i < list.length) {
      (Object.hasOwn(of.outputs, name) ? outputs : saved)[name] = list[i];
    }
  });
  return { outputs, saved } as { outputs: Named<Outputs, tf.Tensor>; saved: Named<Saved, tf.Tensor> };
}

/** Lists that `run` has flattened to name0, name1, …, as lists again. */
function gatherLists(inputs: tf.NamedTensorInfoMap, lists: string[]): Record<string, unknown> {
  const named: Record<string, unknown> = { ...inputs };
  for (const name of lists) {
    const list: tf.TensorInfo[] = [];
    for (let next = inputs[`${name}0`]; next; next = inputs[`${name}${list.length}`]) {
      delete named[`${name}${list.length}`];
      list.push(next);
    }
    named[name] = list;
  }
  return named;
}

/** The contracts of an attention and of its gradient. */
export interface AttentionContracts<
  Attributes extends object = object,
  Inputs extends TensorTypes = TensorTypes,
  Saved extends TensorTypes = TensorTypes,
> {
  forward: Contract<Attributes, { qkv: 'float32' } & Inputs, { out: 'float32' }, Saved>;
  gradient: Contract<
    Attributes,
    { dy: 'float32'; qkv: 'float32'; out: 'float32' } & Inputs & Saved,
    { dqkv: 'float32' },
    Record<never, never>
  >;
}

/**
 * Declares the two kernels of an attention: `name`, of qkv [B, L, 3 D] and further inputs, whose output is the attended
 * values [B, L, D]; and `{name}Grad` of dy, the same inputs, `out` and what was saved, whose output is the gradient of
 * qkv.
 */
export function attentionContracts<Attributes extends object>() {
  return <const Inputs extends TensorTypes, const Saved extends TensorTypes>(
    name: string,
    { inputs, saved }: { inputs: Inputs; saved: Saved },
  ): AttentionContracts<Attributes, Inputs, Saved> => ({
    forward: contract<Attributes>()({
      name,
      inputs: { qkv: 'float32', ...inputs },
      outputs: { out: 'float32' },
      saved,
    }),
    gradient: contract<Attributes>()({
      name: `${name}Grad`,
      inputs: { dy: 'float32', qkv: 'float32', ...inputs, out: 'float32', ...saved },
      outputs: { dqkv: 'float32' },
    }),
  });
}
