// How much memory attention maps of a long protein take beyond the model: node test/bench/attention-memory.mjs
// [tokens] [preset] [maps|mean|rollout] [kind of attention]. Needs `npm run build`. Prints the process's peak after a
// plain pass of the encoder and after the maps, less what it held once the model was loaded.
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { startEngine } from '../../dist/engines/index.js';
import { attentionMaps, attentionRollout } from '../../dist/interpret/index.js';
import { newConfig, PRESETS } from '../../dist/model/config.js';
import { createModel } from '../../dist/model/model.js';

const length = Number(process.argv[2] ?? 8192);
const preset = process.argv[3] ?? 'performer-36';
const what = process.argv[4] ?? 'maps';
const kind = process.argv[5] ?? 'favor-relu';
/** Megabytes: now, and the highest so far. */
const resident = () =>
  ['VmRSS', 'VmHWM'].map(
    (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status'))[1]) / 1024,
  );

await startEngine('cpu');
const model = createModel(newConfig({ ...PRESETS[preset], length, attention: { kind } }), 1);
const residues = 'MKVTGIFLLSALALLSLSGNTGADSLGREAKCYNELNGCTKIYDPVCGTDGNTYPNECVLCFENRKRQTSILIQKSGPC';
const tokens = model.alphabet.encode(residues.repeat(Math.ceil(length / residues.length)).slice(0, length - 2));
const layers = model.config.num_hidden_layers;
const [loaded] = resident();
console.log(`${preset}, ${kind}, ${length} tokens: ${loaded.toFixed(0)} MB with the model`);
const ends = [0, layers - 1];
const count = async (options) => {
  for await (const tile of attentionMaps(model, tokens, { layers: ends, ...options })) {
    void tile.values;
  }
};
const work = {
  maps: () => count({}),
  mean: () => count({ average: 'both' }),
  rollout: () => attentionRollout(model, tokens, ends),
}[what];
tf.dispose(model.encode(tf.tensor2d(Int32Array.from(tokens), [1, length], 'int32')));
console.log(`peak of one pass of the encoder: ${(resident()[1] - loaded).toFixed(0)} MB beyond the model`);
const start = process.cpuUsage();
await work();
const { user, system } = process.cpuUsage(start);
console.log(
  `${what} of two layers: peak ${(resident()[1] - loaded).toFixed(0)} MB beyond the model, ` +
    `${((user + system) / 1e6).toFixed(0)} s of processor time`,
);
process.exit(0);
