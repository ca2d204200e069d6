import { existsSync } from 'node:fs';

// Where a test names no engine it is about something else, and means one that computes alike everywhere: not whatever
// GPU the machine has, with 16-bit products. Tests of engines name them.
const addon = new URL('../build/Release/protein_lm_cpu.node', import.meta.url);
process.env.PROTEIN_LM_DEVICE ??= existsSync(addon) ? 'cpu' : 'wasm';
