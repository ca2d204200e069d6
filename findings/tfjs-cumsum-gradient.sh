#!/usr/bin/env bash
# @tensorflow/tfjs 4.22.0: the gradient of tf.cumsum is right along the last axis only. Along another axis of a square
# tensor it comes back transposed, without a word; where the shape shows the transposition, it throws. The gradient
# undoes the permutation of its forward pass with that permutation itself, which is its own inverse only for two axes of
# equal length. Seen: the gradient of Σ w · cumsum(x, 0) for x [2, 2, 2] is [10001, 10000, 100010, …] where
# [10001, 100010, 1000100, …] is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent @tensorflow/tfjs@4.22.0 >/dev/null 2>&1
cat >check.cjs <<'JS'
const tf = require('@tensorflow/tfjs');
const w = Array.from({ length: 8 }, (_, i) => 10 ** i);
const x = tf.zeros([2, 2, 2]);
const gradient = (axis) =>
  Array.from(tf.grad((y) => tf.sum(tf.mul(tf.tensor3d(w, [2, 2, 2]), tf.cumsum(y, axis))))(x).dataSync());
const stride = [4, 2, 1];
const right = (axis) => w.map((own, i) => own + (Math.floor(i / stride[axis]) % 2 === 0 ? w[i + stride[axis]] : 0));
const agrees = [0, 1, 2].map((axis) => JSON.stringify(gradient(axis)) === JSON.stringify(right(axis)));
console.log('axis 0, 1, 2 right:', agrees.join(' '), '| axis 0:', gradient(0).join(' '));
let thrown = '';
try {
  tf.grad((y) => tf.sum(tf.cumsum(y, 0)))(tf.zeros([2, 3]));
} catch (error) {
  thrown = error.message;
}
console.log('[2, 3] along axis 0:', thrown);
process.exit(agrees.join() === 'false,false,true' && /has shape '3,2'/.test(thrown) ? 0 : 1);
JS
node check.cjs
