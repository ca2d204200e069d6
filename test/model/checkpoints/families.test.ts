import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readSafetensors, type WritableTensor, writeSafetensors } from '../../../src/formats/safetensors.js';
import { esm } from '../../../src/model/checkpoints/esm.js';
import type { CheckpointFamily } from '../../../src/model/checkpoints/family.js';
import { parseConfig, registerFamily } from '../../../src/model/checkpoints/index.js';
import { type ModelConfig, newConfig } from '../../../src/model/config.js';
import { loadModel, readModelConfig, saveModel } from '../../../src/model/files.js';
import { createModel, type LanguageModel } from '../../../src/model/model.js';
import { describeEngines } from '../../engines.js';

const sizes = { layers: 2, hidden: 16, heads: 2, feedForward: 24, dropout: 0, length: 40 };

/** A family as another project would add it: its own names, one field of its own, an RMSNorm without biases. */
const toy: CheckpointFamily = {
  modelTypes: ['toy'],
  readConfig: (fields, where) => {
    const { width, ...rest } = fields as { width: number };
    return { ...esm.readConfig({ ...rest, hidden_size: width, model_type: 'esm' }, where), model_type: 'toy' };
  },
  writeConfig: ({ hidden_size, ...config }) => ({ ...config, width: hidden_size }),
  architecture: (config) => ({
    ...esm.architecture(config),
    norm: 'rms',
    normBias: { blocks: false, last: false },
    biases: { attention: false, feedForward: true },
    positions: 'rotary-interleaved',
  }),
  tensorsOf: ({ name }) => [`toy/${name}`],
};
registerFamily(toy);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'families-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const logits = async (model: LanguageModel): Promise<number[]> => {
  const ids = tf.tensor2d([[...model.alphabet.encode('MKTVRQGW')]], undefined, 'int32');
  return [...(await model.logits(ids).data())];
};

describeEngines('a family that is registered', () => {
  it('is created, saved under its own names and loaded again', async () => {
    const config: ModelConfig = { ...newConfig({ ...sizes, attention: { kind: 'softmax' } }), model_type: 'toy' };
    const model = createModel(config, 1);
    await saveModel(model, join(folder, 'toy'));
    expect(JSON.parse(readFileSync(join(folder, 'toy/config.json'), 'utf8'))).toMatchObject({ width: 16 });
    const { tensors } = readSafetensors(join(folder, 'toy/model.safetensors'));
    expect(tensors.get('toy/layers.1.attention.qkv.weight')!.shape).toEqual([48, 16]);
    expect([...tensors.keys()].filter((name) => /norm\.bias|qkv\.bias/.test(name))).toEqual(['toy/head.norm.bias']);
    const again = await loadModel(join(folder, 'toy'));
    expect(again.config).toEqual(config);
    expect(await logits(again)).toEqual(await logits(model));
    expect(() => registerFamily(toy)).toThrow('model_type toy is there already');
    model.dispose();
    again.dispose();
  });
});

describeEngines('nv_esm', () => {
  it.each([true, false])('has its fused tensors taken apart (interleaved: %s)', async (interleaved) => {
    const config = newConfig({ ...sizes, attention: { kind: 'softmax' }, positions: 'rotary' });
    const model = createModel(config, 2);
    const source = join(folder, `esm-${interleaved}`);
    await saveModel(model, source);
    const { tensors } = readSafetensors(join(source, 'model.safetensors'));
    const values = (name: string) => [...tensors.get(name)!.data];
    const nv = new Map<string, WritableTensor>();
    const add = (name: string, shape: number[], data: number[]) =>
      nv.set(name, { shape, data: Float32Array.from(data) });
    const copy = (name: string, from: string) => add(name, [...tensors.get(from)!.shape], values(from));
    for (const i of [0, 1]) {
      const [to, from] = [`model.encoder.layers.${i}`, `esm.encoder.layer.${i}`];
      for (const kind of ['weight', 'bias']) {
        const parts = ['query', 'key', 'value'].map((part) => values(`${from}.attention.self.${part}.${kind}`));
        const half = parts[0].length / 2;
        // Head by head: queries, keys and values of the first, then of the second.
        const byHead = [0, 1].flatMap((head) => parts.flatMap((x) => x.slice(head * half, (head + 1) * half)));
        const shape = kind === 'weight' ? [48, 16] : [48];
        add(`${to}.self_attention.layernorm_qkv.${kind}`, shape, interleaved ? byHead : parts.flat());
        copy(`${to}.self_attention.layernorm_qkv.layer_norm_${kind}`, `${from}.attention.LayerNorm.${kind}`);
        copy(`${to}.self_attention.proj.${kind}`, `${from}.attention.output.dense.${kind}`);
        copy(`${to}.layernorm_mlp.layer_norm_${kind}`, `${from}.LayerNorm.${kind}`);
        copy(`${to}.layernorm_mlp.fc1_${kind}`, `${from}.intermediate.dense.${kind}`);
        copy(`${to}.layernorm_mlp.fc2_${kind}`, `${from}.output.dense.${kind}`);
      }
    }
    for (const kind of ['weight', 'bias']) {
      copy(`model.encoder.emb_layer_norm_after.${kind}`, `esm.encoder.emb_layer_norm_after.${kind}`);
      copy(`lm_head.dense.${kind}`, `lm_head.dense.${kind}`);
      copy(`lm_head.decoder.layer_norm_${kind}`, `lm_head.layer_norm.${kind}`);
    }
    const padding = (count: number, value: number) => new Array<number>(count).fill(value);
    const word = [...values('esm.embeddings.word_embeddings.weight'), ...padding(31 * 16, 0)];
    add('model.embeddings.word_embeddings.weight', [64, 16], word);
    add('lm_head.decoder.weight', [64, 16], word);
    add('lm_head.decoder.bias', [64], [...values('lm_head.bias'), ...padding(31, -1e38)]);
    const place = join(folder, `nv-${interleaved}`);
    mkdirSync(place, { recursive: true });
    await writeSafetensors(join(place, 'model.safetensors'), nv);
    const { attention, ...fields } = config;
    const own = { model_type: 'nv_esm', architectures: ['NVEsmForMaskedLM'], padded_vocab_size: 64 };
    const written = { ...fields, ...own, ...(interleaved ? {} : { qkv_weight_interleaved: false }) };
    writeFileSync(join(place, 'config.json'), JSON.stringify(written));
    const loaded = await loadModel(place);
    expect(await logits(loaded)).toEqual(await logits(model));
    expect(loaded.config).toEqual(config);
    model.dispose();
    loaded.dispose();
  });
});

describe('configurations', () => {
  const fields = { hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 8 };
  it('of an unknown family name those that are known', () => {
    expect(() => parseConfig('{"model_type":"bert"}', 'config.json')).toThrow(
      'config.json: model_type is "bert": it must be "performer" or "esm" or "nv_esm" or "esmc" or "AMPLIFY"',
    );
  });

  it('of AMPLIFY with another activation are refused', () => {
    expect(() => parseConfig(JSON.stringify({ ...fields, model_type: 'AMPLIFY', hidden_act: 'ReLU' }), 'c')).toThrow(
      'c: hidden_act is "ReLU": it must be "SwiGLU"',
    );
  });

  it('of old uploads have token dropout, and say so', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const old = { ...fields, max_position_embeddings: 40, encoder_keep_prob: 0.88 };
    expect(parseConfig(JSON.stringify(old), 'config.json').token_dropout).toBe(true);
    expect(parseConfig(JSON.stringify({ ...old, token_dropout: false }), 'config.json').token_dropout).toBe(false);
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      expect.stringMatching(/^config.json: encoder_keep_prob is 0.88 .*"token_dropout": true/),
    ]);
    warned.mockRestore();
  });
});

describe('weights without config.json', () => {
  it('of no family are refused with the file', async () => {
    const path = join(folder, 'other.safetensors');
    await writeSafetensors(path, new Map([['a', { shape: [1], data: Float32Array.of(1) }]]));
    await expect(readModelConfig(path)).rejects.toThrow(`${path}: no config.json beside it`);
  });
});
