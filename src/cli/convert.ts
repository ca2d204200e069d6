import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../data/errors.js';
import { completeAttention } from '../model/attention/index.js';
import { changeAttention } from '../model/attention/options.js';
import {
  type AttentionOptions,
  addAttentionOptions,
  attentionFields,
  checkAttentionOptions,
} from './attentionOptions.js';
import { UsageError } from './errors.js';
import { addCommonOptions, addExamples, type CommonOptions, wholeNumber } from './options.js';

interface ConvertOptions extends CommonOptions, AttentionOptions {
  from: string;
  out: string;
  length?: number;
}

/** `protein-lm convert`: the same weights under another attention, or with more positions. */
export function convertCommand(): Command {
  const command = new Command('convert')
    .description("Give a model another attention and keep its weights: a Transformer's become a Performer's.")
    .requiredOption('--from <model>', 'run or model folder, ours or a Hugging Face ESM')
    .requiredOption('--out <folder>', 'folder of the new model');
  addAttentionOptions(command, 'the new kind of attention');
  command.option('--length <n>', 'tokens of the longest sequence, where the model takes fewer', wholeNumber(3));
  addCommonOptions(command, 'seed');
  command.action(convert);
  return addExamples(
    command,
    'protein-lm convert --from esm2_t6_8M_UR50D --attention favor-softmax --out performer',
    'protein-lm pretrain --init performer --fasta proteins.fasta.gz --steps 1000 --out runs/performer',
    'protein-lm convert --from runs/first --length 8192 --out long',
  );
}

async function convert(options: ConvertOptions): Promise<void> {
  const { from, out, length, seed, quiet } = options;
  const given = Object.keys(attentionFields(options)).length > 0;
  if (!given && length === undefined) {
    throw new UsageError('nothing to convert: give --attention KIND or --length N');
  }
  if (existsSync(join(out, 'config.json'))) {
    throw new InputError(`${out}: it holds a model; give another folder, or remove it first`);
  }
  const { startEngine } = await import('../engines/index.js');
  const { loadModel, saveModel } = await import('../model/files.js');
  const { convertModel } = await import('../model/convert.js');
  const engine = await startEngine('auto');
  try {
    const model = await loadModel(from);
    const attention = given ? changeAttention(model.config.attention, attentionFields(options)) : undefined;
    if (attention) {
      checkAttentionOptions(options, completeAttention(attention));
    }
    const before = model.config;
    const converted = await convertModel(model, { attention, length }, seed);
    await saveModel(converted, out);
    if (!quiet) {
      const count = [...converted.trainable.values()].reduce((sum, { size }) => sum + size, 0).toLocaleString('en-US');
      const change = `${before.attention.kind} -> ${converted.config.attention.kind}`;
      process.stderr.write(`${out}: ${change}, ${count} parameters\n`);
    }
  } finally {
    await engine.stop();
  }
}
