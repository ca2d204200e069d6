import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../../src/engines/index.js';
import { readSafetensors, type WritableTensor, writeSafetensors } from '../../../src/formats/safetensors.js';
import { newConfig } from '../../../src/model/config.js';
import { loadModel, saveModel } from '../../../src/model/files.js';
import { createModel, type LanguageModel } from '../../../src/model/model.js';

const root = mkdtempSync(join(tmpdir(), 'protein-lm-'));
const original = join(root, 'original');
let engine: Engine;

beforeAll(async () => {
  engine = await startEngine('cpu');
  const config = newConfig({
    ...{ layers: 1, hidden: 16, heads: 2, feedForward: 16, dropout: 0, length: 20 },
    ...{ positions: 'rotary', attention: { kind: 'softmax' } },
  });
  const model = createModel(config, 1);
  await saveModel(model, original);
  model.dispose();
});

afterAll(async () => {
  await engine.stop();
  rmSync(root, { recursive: true });
});

/** A copy of the model with fields changed, and what `edit` does to its tensors. */
async function variant(fields: Record<string, unknown>, edit?: (tensors: Map<string, WritableTensor>) => void) {
  const folder = mkdtempSync(join(root, 'variant-'));
  cpSync(original, folder, { recursive: true });
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...fields }));
  if (edit) {
    const { tensors } = readSafetensors(join(folder, 'model.safetensors'));
    edit(tensors as Map<string, WritableTensor>);
    await writeSafetensors(join(folder, 'model.safetensors'), tensors as Map<string, WritableTensor>);
  }
  return folder;
}

/** Adds a tensor of any type to a safetensors file, by hand. */
function addRaw(path: string, name: string, dtype: string, shape: number[], bytes: Uint8Array): void {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const data = file.subarray(8 + length);
  header[name] = { dtype, shape, data_offsets: [data.length, data.length + bytes.length] };
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, data, bytes]));
}

async function use<T>(folder: string, look: (model: LanguageModel) => Promise<T>): Promise<T> {
  const model = await loadModel(folder);
  try {
    return await look(model);
  } finally {
    model.dispose();
  }
}

it.each([
  ['is_decoder', true, /is_decoder is true: it must be false or left out: .*"attention": \{"causal": true\}/],
  ['add_cross_attention', true, /add_cross_attention is true/],
  ['is_folding_model', true, /is_folding_model is true/],
  ['quantization_config', { load_in_8bit: true }, /quantization_config is \{"load_in_8bit":true\}: .*dequantized/],
  ['rope_scaling', { type: 'linear', factor: 2 }, /rope_scaling is .*: it must be left out/],
  ['hidden_act', 'relu', /hidden_act is "relu": it must be "gelu" or left out/],
  ['sliding_window', 128, /sliding_window is 128: what it changes is not known here/],
  ['mask_token_id', 31, /mask_token_id is 31, but <mask> is token 32 of its vocabulary/],
  ['pad_token_id', 0, /pad_token_id is 0, but <pad> is token 1 of its vocabulary/],
  ['rope_theta', 0, /rope_theta is 0: it must be above 0/],
])('refuses %s = %j, which would change what the model computes', async (field, value, message) => {
  await expect(loadModel(await variant({ [field]: value }))).rejects.toThrow(message);
});

it.each([
  ['is_decoder', false],
  ['hidden_act', 'gelu'],
  ['use_cache', true],
  ['torch_dtype', 'float32'],
  ['classifier_dropout', null],
  ['sliding_window', null],
  ['id2label', { 0: 'a' }],
])('takes %s = %j, which changes nothing', async (field, value) => {
  await use(await variant({ [field]: value }), async () => undefined);
});

it('says first what another kind of model is', async () => {
  const other = { model_type: 't5', num_hidden_layers: undefined, hidden_size: undefined };
  await expect(loadModel(await variant(other))).rejects.toThrow(/model_type is "t5": it must be .*"esm"/);
});

it('computes rotary frequencies from rope_theta where the weights bring none', async () => {
  const drop = (tensors: Map<string, WritableTensor>) => tensors.delete('esm.rotary_embeddings.inv_freq');
  const frequencies = async (folder: string) =>
    use(folder, async (model) => [...(await model.parameters.get('rotary.inverseFrequencies')!.data())]);
  // base^(-2i/d) with d = 8.
  const expected = (base: number) => [0, 1, 2, 3].map((i) => Math.fround(base ** (-i / 4)));
  expect(await frequencies(await variant({ rope_theta: 100 }, drop))).toEqual(expected(100));
  expect(await frequencies(await variant({}, drop))).toEqual(expected(10_000));
  expect(await frequencies(await variant({ rope_theta: 100 }))).toEqual(expected(10_000));
});

it.each([Number.NaN, Number.POSITIVE_INFINITY])(
  'refuses %d in the weights, with the name of the tensor',
  async (bad) => {
    const name = 'esm.encoder.layer.0.output.dense.weight';
    const folder = await variant({}, (tensors) => {
      tensors.get(name)!.data[7] = bad;
    });
    await expect(loadModel(folder)).rejects.toThrow(
      `tensor '${name}' holds values that are no numbers: the file is damaged`,
    );
  },
);

it('refuses integers as weights', async () => {
  const name = 'esm.encoder.layer.0.output.dense.weight';
  const folder = await variant({}, (tensors) => tensors.delete(name));
  addRaw(join(folder, 'model.safetensors'), name, 'I8', [16, 16], new Uint8Array(256));
  await expect(loadModel(folder)).rejects.toThrow(`tensor '${name}' is of type I8: its integers are no weights`);
});

it.each([
  ['U16', 2],
  ['U32', 4],
  ['U64', 8],
  ['C64', 8],
  ['F8_E4M3', 1],
  ['F8_E5M2', 1],
])('loads weights beside a tensor of type %s that nobody reads', async (dtype, bytes) => {
  const folder = await variant({});
  addRaw(join(folder, 'model.safetensors'), 'extra', dtype, [3], new Uint8Array(3 * bytes));
  await use(folder, async () => undefined);
});
