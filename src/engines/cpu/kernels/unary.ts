import { kernel, type Replacement } from './kernel.js';

// The order of enum Unary in native/arrays.h.
const OPERATIONS = [
  'Abs',
  'Cos',
  'Erf',
  'Exp',
  'Log',
  'Neg',
  'Reciprocal',
  'Relu',
  'Rsqrt',
  'Sigmoid',
  'Sin',
  'Sqrt',
  'Square',
  'Tanh',
];

/** Elementwise functions of a float32 tensor. */
export const unary: Replacement[] = OPERATIONS.map((name, operation) =>
  kernel(name, ({ inputs: { x }, backend, original }) => {
    if (x.dtype !== 'float32') {
      return original();
    }
    const y = backend.output(x.shape);
    backend.call('unary', [operation], [backend.floats(x), backend.floats(y)]);
    return y;
  }),
);
