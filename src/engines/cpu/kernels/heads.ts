import type * as tf from '@tensorflow/tfjs-core';

/** The sizes within qkv [batch, length, 3 * heads * headSize]. Throws a RangeError where the width does not divide. */
export function headShape(
  { shape }: tf.TensorInfo,
  heads: number,
): { batch: number; length: number; headSize: number } {
  const [batch, length, width] = shape;
  if (shape.length !== 3 || width % (3 * heads) !== 0) {
    throw new RangeError(`qkv [${shape}] is not [batch, length, 3 x ${heads} heads x size]`);
  }
  return { batch, length, headSize: width / (3 * heads) };
}
