#!/usr/bin/env bash
# @tensorflow/tfjs-core 4.22.0 registers no gradients by itself, and the file of its own that does cannot be loaded by
# Node.js as it is published: dist/register_all_gradients.js imports './gradients/Abs_grad' without an extension, which
# Node's modules do not resolve, by import or by require. Only the union package (dist/tf.node.js) or a bundler gives
# gradients. Seen with Node.js 20: ERR_MODULE_NOT_FOUND, and "gradient function not found for Square" without it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-backend-cpu@4.22.0 >/dev/null 2>&1
cat >check.mjs <<'JS'
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
const codes = [];
try {
  await import('@tensorflow/tfjs-core/dist/register_all_gradients.js');
} catch (error) {
  codes.push(error.code);
}
try {
  tf.grad((x) => tf.sum(tf.square(x)))(tf.ones([2]));
} catch (error) {
  codes.push(error.message);
}
console.log(codes.join('\n'));
process.exit(codes[0] === 'ERR_MODULE_NOT_FOUND' && /gradient function not found/.test(codes[1] ?? '') ? 0 : 1);
JS
node check.mjs 2>/dev/null
