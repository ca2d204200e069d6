import * as tf from '@tensorflow/tfjs-core';

/** Puts another kernel in the place of one that tfjs has registered; `replace` is given tfjs's own, to call it. */
export function replaceKernel(
  kernelName: string,
  backendName: string,
  replace: (theirs: tf.KernelFunc) => tf.KernelFunc,
): void {
  const { kernelFunc, ...kernel } = tf.getKernel(kernelName, backendName);
  tf.unregisterKernel(kernelName, backendName);
  tf.registerKernel({ ...kernel, kernelFunc: replace(kernelFunc) });
}
