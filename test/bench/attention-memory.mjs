// How much memory attention maps of a long protein take beyond the model: node test/bench/attention-memory.mjs
// [tokens] [preset]. Needs `npm run build`. Prints the process's peak, less what it held once the model was loaded.
import { readFileSync } from 'node:fs';
import { startEngine } from '../../dist/engines/index.js';
import { attentionMaps, attentionRollout } from '../../dist/interpret/index.js';
import { newConfig, PRESETS } from '../../dist/model/config.js';
import { createModel } from '../../dist/model/model.js';

const length = Number(process.argv[2] ?? 8192);
const preset = process.argv[3] ?? 'performer-36';
/** Megabytes: now, and the highest so far. */
const resident = () =>
  ['VmRSS', 'VmHWM'].map(
    (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status'))[1]) / 1024,
  );

await startEngine('cpu');
const model = createModel(newConfig({ ...PRESETS[preset], length }), 1);
const residues = 'MKVTGIFLLSALALLSLSGNTGADSLGREAKCYNELNGCTKIYDPVCGTDGNTYPNECVLCFENRKRQTSILIQKSGPC';
const tokens = model.alphabet.encode(residues.repeat(Math.ceil(length / residues.length)).slice(0, length - 2));
const layers = model.config.num_hidden_layers;
const [loaded] = resident();
console.log(`${preset}, ${length} tokens: ${loaded.toFixed(0)} MB with the model`);
const report = (what, start) =>
  console.log(
    `${what}: peak ${(resident()[1] - loaded).toFixed(0)} MB beyond the model, ${((performance.now() - start) / 1000).toFixed(0)} s`,
  );

let start = performance.now();
let values = 0;
for await (const tile of attentionMaps(model, tokens, { layers: [0, layers - 1] })) values += tile.values.length;
report(`all heads of two layers (${values.toLocaleString('en')} values)`, start);
start = performance.now();
for await (const tile of attentionMaps(model, tokens, { layers: [0, layers - 1], average: 'both' }))
  values += tile.values.length;
report('mean over heads and layers', start);
start = performance.now();
await attentionRollout(model, tokens, [0, layers - 1]);
report('rollout over two layers', start);
process.exit(0);
