import { existsSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import { Command, Option } from 'commander';
import { EMBEDDING_FORMATS, type EmbeddingFormat } from '../scoring/embeddingFiles.js';
import { POOLS, type Pool } from '../scoring/embeddings.js';
import { WINDOW_MODES, type WindowMode } from '../scoring/windows.js';
import { UsageError } from './errors.js';
import { addCommonOptions, addExamples, type CommonOptions, wholeNumber } from './options.js';
import { createProgress } from './progress.js';

interface EmbedOptions extends CommonOptions {
  model: string;
  out: string;
  layer: number;
  pool: Pool;
  window?: WindowMode;
  windowSize?: number;
  batchTokens?: number;
}

/** `protein-lm embed`: sequences as vectors. */
export function embedCommand(): Command {
  const command = new Command('embed')
    .description('Turn sequences into vectors: one a sequence (mean, cls) or one a residue (none), as float32.')
    .argument('<fasta>', 'sequences: FASTA, plain or gzip; - for standard input; for a bytes model any file or folder')
    .requiredOption('--model <folder>', 'run or model folder, ours or a Hugging Face ESM')
    .requiredOption('--out <file>', 'file to write: .npy, .npz, .safetensors or .arrow')
    .option('--layer <n>', 'layer: 0 embeddings, 1 … N, or from the end: -1 the last', wholeNumber(-1e6), -1)
    .addOption(new Option('--pool <how>', 'mean over residues, the cls token, or none').choices(POOLS).default('mean'))
    .addOption(
      new Option('--window <mode>', 'for sequences longer than the model takes')
        .choices(WINDOW_MODES.filter((mode) => mode !== 'optimal'))
        .default('overlapping'),
    )
    .option('--window-size <tokens>', "tokens of a window (default: the model's positions)", wholeNumber(8))
    .option('--batch-tokens <n>', 'tokens that go through the model at once', wholeNumber(1));
  addCommonOptions(command, 'device', 'threads');
  command.action(embed);
  command.addHelpText(
    'after',
    `
Files:
  .npy           [sequences, D], identifiers in FILE.npy.json; with --pool none [residues, D] of one sequence
  .npz           embeddings [sequences, D] and ids; with --pool none an array [residues, D] for each identifier
                 (percent-encoded, as in a URL, where it would be a path: A:1 is A%3A1)
  .safetensors   the same, identifiers in the metadata
  .arrow         sequence_id, embedding; with --pool none sequence_id, position, residue, embedding`,
  );
  return addExamples(
    command,
    'protein-lm embed proteins.fasta --model runs/first --out embeddings.npy',
    'protein-lm embed proteins.fasta.gz --model esm2_t6_8M_UR50D --pool none --out residues.safetensors',
    'zcat big.fasta.gz | protein-lm embed - --model runs/first --layer 3 --out layer3.arrow',
  );
}

async function embed(fasta: string, options: EmbedOptions): Promise<void> {
  const format = formatOf(options.out);
  const { loadModel, readModelConfig } = await import('../model/files.js');
  const { alphabet } = await readModelConfig(options.model);
  const { readSequences } = await import('../data/reading.js');
  const { Warnings } = await import('../data/warnings.js');
  const { startEngine } = await import('../engines/index.js');
  const { InputError } = await import('../data/errors.js');
  const { openEmbeddingWriter } = await import('../scoring/embeddingFiles.js');
  const { embedSequences } = await import('../scoring/embeddings.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const model = await loadModel(options.model);
  const warnings = new Warnings();
  const reading = { alphabet: alphabet.name, cut: Number.POSITIVE_INFINITY, warnings };
  const progress = createProgress({ label: 'embedding', unit: 'sequences', quiet: options.quiet });
  const writer = await openEmbeddingWriter(options.out, format, options.pool, model.config.hidden_size);
  try {
    // What went in and has not come out yet, as the model takes many sequences at once.
    const waiting: { id: string; sequence: string }[] = [];
    async function* sequences(): AsyncGenerator<string> {
      for await (const { id, sequence } of readSequences(fasta, reading)) {
        waiting.push({ id, sequence });
        yield sequence;
      }
    }
    let done = 0;
    const { layer, pool } = options;
    const window = { mode: options.window, size: options.windowSize };
    for await (const values of embedSequences(model, sequences(), {
      layer,
      pool,
      window,
      tokensPerBatch: options.batchTokens,
    })) {
      await writer.append({ ...waiting.shift()!, values });
      progress.update(++done);
    }
    if (done === 0) {
      throw new InputError(
        `${fasta} has no sequences; give ${alphabet.name === 'bytes' ? 'another file' : 'a FASTA file'}`,
      );
    }
    await writer.close();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  progress.end();
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  model.dispose();
  await engine.stop();
}

function formatOf(path: string): EmbeddingFormat {
  const format = EMBEDDING_FORMATS.find((name) => `.${name}` === extname(path).toLowerCase());
  if (format === undefined) {
    throw new UsageError(`--out ${path}: use .npy, .npz, .safetensors or .arrow`);
  }
  if (!existsSync(dirname(path))) {
    throw new UsageError(`--out ${path}: the folder ${dirname(path)} does not exist; make it first`);
  }
  return format;
}
