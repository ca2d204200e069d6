import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { from } from 'arquero';
import { Command } from 'commander';
import { InputError } from '../data/errors.js';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { lockFolder } from '../formats/lock.js';
import type { CellResult, CellTask } from '../training/comparison/cell.js';
import type { Cell, Comparison } from '../training/comparison/config.js';
import type { ComparisonResults, ComparisonRow, Spread } from '../training/comparison/results.js';
import { INTERRUPTED } from './errors.js';
import { cellCommand, workInProcess } from './experimentCell.js';
import { addCommonOptions, addExamples, type CommonOptions } from './options.js';
import { tableOutput } from './output.js';
import { formatDuration } from './progress.js';
import { openTrainingData } from './trainingData.js';

interface CompareOptions extends CommonOptions {
  config: string;
  out: string;
}

/** `protein-lm experiment compare`: the same training for a list of attentions, as a table and charts. */
export function experimentCommand(): Command {
  const compare = new Command('compare')
    .description(
      'Train the same model with each of a list of attentions, on the same data, and compare them: accuracy and ' +
        'perplexity, learning curves, time and memory against length, weight transfer. Run again, it goes on where ' +
        'it was; what is finished is not done again.',
    )
    .requiredOption('--config <file>', 'what to compare, as JSON')
    .requiredOption(
      '--out <folder>',
      'folder of the experiment: runs, results.json, results.csv, report.html, figures',
    );
  addCommonOptions(compare, 'device', 'threads');
  compare.action(async (options: CompareOptions) => {
    const release = await lockFolder(options.out);
    await compareAttentions(options).finally(release);
  });
  compare.addHelpText('after', EXAMPLE);
  addExamples(compare, 'protein-lm experiment compare --config compare.json --out experiments/paper');
  const command = new Command('experiment')
    .description("Run an experiment of the paper's at one's own scale.")
    .helpCommand(false)
    .addCommand(compare)
    .addCommand(cellCommand(), { hidden: true });
  return addExamples(command, 'protein-lm experiment compare --config compare.json --out experiments/paper');
}

const EXAMPLE = `
A configuration (all but attentions and the data may be left out):
  {
    "fasta": ["proteins.fasta.gz"], "holdout": ["families.txt"],
    "preset": "performer-tiny", "model": { "layers": 4 },
    "training": { "length": 512, "budget": { "steps": 2000 } },
    "seeds": [1, 2], "objectives": ["masked", "causal"],
    "attentions": {
      "Performer-ReLU": { "kind": "favor-relu" },
      "FAVOR+": { "kind": "favor-softmax", "num_features": 256 },
      "FAVOR+, redrawn": { "kind": "favor-softmax", "num_features": 256, "redraw_interval": 100 },
      "Transformer": { "kind": "softmax" },
      "Linformer": { "kind": "linformer", "projected_length": 100 },
      "Reformer": { "kind": "lsh", "redraw_interval": 1 }
    },
    "recompute": ["Transformer"],
    "transfer": { "from": "Transformer", "to": ["FAVOR+"], "share": 0.1 },
    "lengths": { "lengths": [1024, 4096, 32768], "longestStep": 60 }
  }
Bytes ("alphabet": "bytes") come from "files", and recompute (names of attentions, or true) takes less memory and more time.
`;

async function compareAttentions(options: CompareOptions): Promise<void> {
  const { out, quiet } = options;
  let text: string;
  try {
    text = readFileSync(options.config, 'utf8');
  } catch (error) {
    throw new InputError(`${options.config}: ${(error as Error).message}; give a comparison's JSON file`);
  }
  const { parseComparison } = await import('../training/comparison/config.js');
  const { readResult, readTask, writeResult, writeTask } = await import('../training/comparison/cell.js');
  const comparison = parseComparison(text, options.config);
  const folders = join(out, 'cells');
  mkdirSync(folders, { recursive: true });
  const data = await dataFolder(comparison, quiet);
  const log = (line: string) => quiet || process.stderr.write(`${line}\n`);

  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const { cells, cadence, evaluationSequences } = comparison;
  for (const cell of cells) {
    checkUnchanged(readTask(join(folders, cell.id)), { cell, data, cadence, evaluationSequences }, out);
  }
  for (const [index, cell] of cells.entries()) {
    if (stopped) {
      break;
    }
    const folder = join(folders, cell.id);
    const before = readResult(folder);
    const place = `[${index + 1}/${cells.length}] ${cell.id}`;
    if (before && before.status !== 'failed' && before.status !== 'skipped') {
      log(`${place}: ${describe(before)}, already there`);
      continue;
    }
    mkdirSync(folder, { recursive: true });
    const reason = reasonToSkip(cell, comparison, (id) => readResult(join(folders, id)));
    if (reason) {
      await writeResult(folder, { status: 'skipped', reason });
      log(`${place}: skipped, ${reason}`);
      continue;
    }
    rmSync(join(folder, 'result.json'), { force: true });
    await writeTask(folder, { cell, data, cadence, evaluationSequences });
    log(`${place}: begins`);
    const started = performance.now();
    const failure = await workInProcess(folder, folders, options);
    if (stopped || failure === 'stopped') {
      stopped = true;
      break;
    }
    if (failure !== undefined) {
      await writeResult(folder, { status: 'failed', reason: failure });
    }
    log(`${place}: ${describe(readResult(folder)!)} in ${formatDuration((performance.now() - started) / 1000)}`);
  }
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (stopped) {
    process.stderr.write(
      `stopped; go on with: protein-lm experiment compare --config ${options.config} --out ${out}\n`,
    );
    process.exitCode = INTERRUPTED;
    return;
  }
  const { gatherResults } = await import('../training/comparison/results.js');
  const results = gatherResults(cells, (cell) => readResult(join(folders, cell.id)));
  await writeResults(results, options);
}

/** What a cell depends on beside itself must stay: its results would stand beside those of other data. */
function checkUnchanged(before: CellTask | undefined, task: CellTask, out: string): void {
  if (!before || task.cell.kind === 'length') {
    return;
  }
  for (const name of ['data', 'cadence', 'evaluationSequences'] as const) {
    if (JSON.stringify(before[name]) === JSON.stringify(task[name])) {
      continue;
    }
    throw new InputError(`${out}: ${task.cell.id} was begun with other ${name}; give another --out`);
  }
}

/** Where the data is, as a token store. */
async function dataFolder(comparison: Comparison, quiet?: boolean): Promise<string> {
  const { alphabet = 'protein', data, fasta, files, holdout } = comparison;
  const store = await openTrainingData({ data, fasta, files, holdout, invalid: 'error', quiet }, alphabet);
  store!.close();
  return resolve(store!.folder);
}

function reasonToSkip(
  cell: Cell,
  { cells, longestStep }: Comparison,
  resultOf: (id: string) => CellResult | undefined,
): string | undefined {
  if (cell.kind === 'transfer' && resultOf(cell.from)?.status !== 'done') {
    return `${cell.from} has no trained model`;
  }
  if (cell.kind !== 'length') {
    return undefined;
  }
  const shorter = cells.flatMap((other) =>
    other.kind === 'length' && other.attention === cell.attention && other.length < cell.length ? [other] : [],
  );
  for (const other of shorter) {
    const seconds = resultOf(other.id)?.secondsPerStep;
    if (seconds === undefined) {
      return `${other.length} tokens gave no result`;
    }
    const expected = (seconds * cell.length) / other.length;
    if (expected > longestStep) {
      return `a step would take ${formatDuration(expected)} or more`;
    }
  }
  return undefined;
}

function describe({ status, reason, test, secondsPerStep }: CellResult): string {
  if (status !== 'done') {
    return `${status} (${reason})`;
  }
  if (test) {
    return `test accuracy ${(100 * test.accuracy).toFixed(2)} %, perplexity ${test.perplexity.toFixed(2)}`;
  }
  return secondsPerStep === undefined ? 'done' : `${secondsPerStep.toPrecision(3)} s a step`;
}

async function writeResults(results: ComparisonResults, { out, quiet, config }: CompareOptions): Promise<void> {
  await writeFileAtomic(join(out, 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
  const table = from(results.rows.map(flat));
  await tableOutput({ out: join(out, 'results.csv') }).write(table);
  const { comparisonReport } = await import('../report/comparison.js');
  const { writeReport } = await import('../report/write.js');
  const report = comparisonReport(basename(config).replace(/\.json$/, ''), results);
  await writeReport(report, { html: join(out, 'report.html'), charts: join(out, 'figures') });
  for (const { id, status, reason } of results.unfinished) {
    process.stderr.write(`warning: ${id}: ${status}${reason ? ` (${reason})` : ''}\n`);
  }
  if (!quiet) {
    process.stderr.write(`${out}: results.json, results.csv, report.html, figures\n`);
  }
  await tableOutput({}).write(table);
}

/** A row with a column for each number. */
function flat(row: ComparisonRow): Record<string, string | number | null> {
  return Object.fromEntries(
    Object.entries(row as unknown as Record<string, string | number | Spread | null>).flatMap(([name, value]) =>
      value !== null && typeof value === 'object'
        ? [
            [name, value.mean],
            [`${name}Deviation`, value.deviation],
          ]
        : name.match(/Accuracy|Perplexity|PerSecond|Memory/)
          ? [
              [name, null],
              [`${name}Deviation`, null],
            ]
          : [[name, value]],
    ),
  ) as Record<string, string | number | null>;
}
