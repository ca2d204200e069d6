import * as tf from '@tensorflow/tfjs-core';
import { gemm } from '../gemm.js';
import { kernel } from './kernel.js';

interface MatMulAttributes {
  transposeA: boolean;
  transposeB: boolean;
}

/** a [..., m, k] · b [..., k, n], each possibly transposed; the leading axes of one may all be 1. */
export const matMul = kernel<MatMulAttributes>('BatchMatMul', ({ inputs: { a, b }, attrs, backend, original }) => {
  const { transposeA, transposeB } = attrs;
  const [batchA, rowsA, columnsA] = asBatch(a.shape);
  const [batchB, rowsB, columnsB] = asBatch(b.shape);
  const [m, k] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [n, inner] = transposeB ? [rowsB, columnsB] : [columnsB, rowsB];
  const fits = k === inner && (batchA === batchB || batchA === 1 || batchB === 1);
  if (a.dtype !== 'float32' || b.dtype !== 'float32' || !fits) {
    return original();
  }
  const leading = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const y = backend.output([...leading, m, n]);
  backend.withScratch(() =>
    gemm({
      m,
      n,
      k,
      batch: [Math.max(batchA, batchB), 1],
      a: { data: backend.floats(a), outerStride: batchA === 1 ? 0 : m * k },
      transposeA,
      b: { data: backend.floats(b), outerStride: batchB === 1 ? 0 : k * n },
      transposeB,
      c: { data: backend.floats(y), outerStride: m * n },
    }),
  );
  return y;
});

interface FusedMatMulAttributes extends MatMulAttributes {
  activation: string;
  leakyreluAlpha?: number;
}

/** tf.fused.matMul: the product, then bias and activation. */
export const fusedMatMul = kernel<FusedMatMulAttributes>('_FusedMatMul', ({ inputs, attrs, backend, original }) => {
  const { a, b, bias, preluActivationWeights } = inputs;
  const { activation, leakyreluAlpha } = attrs;
  if (a.dtype !== 'float32' || b.dtype !== 'float32') {
    return original();
  }
  const call = (name: string, callInputs: Record<string, tf.TensorInfo>, callAttrs: object) =>
    tf.getKernel(name, tf.getBackend()).kernelFunc({
      inputs: callInputs,
      attrs: callAttrs as tf.NamedAttrMap,
      backend,
    }) as tf.TensorInfo;
  let y = call('BatchMatMul', { a, b }, attrs);
  const then = (name: string, callInputs: Record<string, tf.TensorInfo>) => {
    const next = call(name, callInputs, { alpha: leakyreluAlpha });
    backend.disposeData(y.dataId);
    y = next;
  };
  if (bias) {
    then('Add', { a: y, b: bias });
  }
  if (activation === 'prelu') {
    then('Prelu', { x: y, alpha: preluActivationWeights });
  } else if (activation && activation !== 'linear') {
    then(activation[0].toUpperCase() + activation.slice(1), { x: y });
  }
  return y;
});

function asBatch(shape: number[]): [batch: number, rows: number, columns: number] {
  return [tf.util.sizeFromShape(shape.slice(0, -2)), shape[shape.length - 2], shape[shape.length - 1]];
}
