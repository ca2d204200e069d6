import { basename } from 'node:path';
import { from } from 'arquero';
import { Command, Option } from 'commander';
import { append } from '../data/arrays.js';
import { InputError } from '../data/errors.js';
import { lockFolder } from '../data/lock.js';
import type { LanguageModel } from '../model/model.js';
import type { Assay } from '../scoring/assay.js';
import type { Method } from '../scoring/heads/assayHead.js';
import type { Classification } from '../scoring/heads/classifier.js';
import type { VariantFeatures } from '../scoring/heads/features.js';
import type { Split } from '../scoring/heads/folds.js';
import type { Metrics } from '../scoring/metrics.js';
import { UsageError } from './errors.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, givenFlags, number, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';
import {
  addSchemeOptions,
  addVariantTableOptions,
  columnNames,
  modelOption,
  SCORE_SETTINGS,
  type SchemeOptions,
  scoreOptions,
  type VariantTableOptions,
} from './scoringOptions.js';

interface FinetuneOptions extends CommonOptions, OutputOptions, SchemeOptions, VariantTableOptions {
  model: string[];
  assay?: string;
  assays?: string;
  reference?: string[];
  wildType?: string;
  method: Method[];
  split?: Split[];
  folds: number;
  trainSize?: number[];
  repeats: number;
  save?: string;
  skipMissing?: boolean;
  alpha?: number;
  loss: 'regression' | 'ranking';
  layers: number | 'all';
  task: 'fitness' | Classification;
  epochs: number;
  patience: number;
  learningRate: number;
  batchSize: number;
}

const METHOD_NAMES = [
  'one-hot',
  'augmented',
  'augmented-embedding',
  'mean-embedding',
  'site-embedding',
  'fine-tune',
] as const;

/** Options of assays, which classes have no use for. */
const OF_ASSAYS = [
  'wildType',
  'method',
  'trainSize',
  'repeats',
  'skipMissing',
  'alpha',
  'loss',
  'offset',
  'skipMismatches',
  'mutantColumn',
  'scoreColumn',
  ...SCORE_SETTINGS,
] as const satisfies (keyof FinetuneOptions)[];

/** `protein-lm finetune`: heads that learn from assays. */
export function finetuneCommand(): Command {
  const command = new Command('finetune')
    .description(
      'Train a head on an assay: cross-validate it, and save it for `score --head`. The table has one row a fold, and ' +
        "for each split a row `all`: the predictions of all folds together, ProteinGym's figure.",
    )
    .option('--assay <file>', "measured variants in ProteinGym's columns (.csv, .tsv, .json, .arrow, also .gz)")
    .option('--assays <folder>', 'cross-validate on every assay of a folder, as benchmark finds them')
    .option('--reference <file...>', 'with --assays: tables of wild types by DMS_id (default: those in the folder)')
    .option('--wild-type <fasta>', "the assay's wild type (default: from its columns mutant and mutated_sequence)")
    .addOption(modelOption())
    .addOption(
      new Option('--task <name>', 'what to learn: an assay, or classes of whole sequences or of residues')
        .choices(['fitness', 'sequences', 'residues'])
        .default('fitness'),
    )
    .addOption(
      new Option('--method <name...>', 'heads; the first is the one that is saved')
        .choices(METHOD_NAMES)
        .default(['augmented']),
    )
    .addOption(new Option('--split <name...>', 'cross-validation splits').choices(['random', 'contiguous', 'modulo']))
    .option('--folds <n>', 'folds of a split', wholeNumber(2, 100), 5)
    .option('--train-size <n...>', 'low-N: train on so many random variants, test on a fifth held out', sizes)
    .option('--repeats <n>', 'low-N: how often', wholeNumber(1, 1000), 5)
    .option('--save <folder>', 'train on the whole assay and save the head')
    .option('--skip-missing', 'leave out and count rows without a measured value')
    .option('--alpha <value>', 'ridge penalty (default: chosen from the training variants)', number(0))
    .addOption(
      new Option('--loss <name>', 'fine-tune: what to learn').choices(['regression', 'ranking']).default('regression'),
    )
    .option('--layers <n|all>', 'fine-tune: how many of the last layers to train', layers, 1)
    .option('--epochs <n>', 'fine-tune: passes over the assay at most', wholeNumber(1), 30)
    .option(
      '--patience <n>',
      'fine-tune: stop after so many passes without a better held-out result',
      wholeNumber(1),
      5,
    )
    .option('--learning-rate <value>', "fine-tune: of the model's layers; the head's is ten times it", number(0), 1e-4)
    .option('--batch-size <n>', 'fine-tune: variants of a step', wholeNumber(2), 16);
  addSchemeOptions(command, 'single-pass');
  addVariantTableOptions(command, true);
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  command.action(async (options: FinetuneOptions) => {
    checkUsage(options, command);
    const release = options.save === undefined ? undefined : await lockFolder(options.save);
    await finetune(options).finally(release);
  });
  command.addHelpText(
    'after',
    `
Heads:
  one-hot              ridge on one-hot encoded residues: the baseline that knows no model
  augmented            the same with the zero-shot score beside it, unpenalised (Hsu et al. 2022)
  augmented-embedding  the same with the last layer's states over the mutated sites as well
  mean-embedding       ridge on the last layer's states, mean over the residues
  site-embedding       ridge on the last layer's states, mean over the mutated sites
  fine-tune            gradients through a head on the site's states and the zero-shot score, and the last layers

Classes (--task sequences, --task residues): --assay is a table with the columns sequence and label (others by
--sequence-column and --label-column). A label of residues has one letter for each of them, - for those unknown.
The head and the last layers learn by gradients; --save and score --head work as for assays.`,
  );
  return addExamples(
    command,
    'protein-lm finetune --assay BLAT_ECOLX.csv --model runs/first --split random contiguous modulo',
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --model runs/first --save heads/mine',
    'protein-lm score protein.fasta --head heads/mine --out predictions.csv',
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --model runs/first --method one-hot augmented --train-size 24 96 384',
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --model runs/first --method fine-tune --layers all --loss ranking',
    'protein-lm finetune --task residues --assay secondary_structure.csv --model runs/first --layers 2 --save heads/ss3',
    'protein-lm finetune --assays dms --model runs/first --method one-hot augmented site-embedding --out heads.csv',
  );
}

function layers(text: string): number | 'all' {
  return text === 'all' ? text : wholeNumber(0)(text);
}

function sizes(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), wholeNumber(3)(text)];
}

type Row = Record<string, string | number | null>;

/** @throws UsageError for options that exclude each other, or that the task would not look at */
function checkUsage(options: FinetuneOptions, command: Command): void {
  if ((options.assay === undefined) === (options.assays === undefined)) {
    throw new UsageError('give either --assay FILE or --assays FOLDER');
  }
  if (options.assays !== undefined && options.save !== undefined) {
    throw new UsageError('--save is for the head of one --assay');
  }
  if (options.assays !== undefined && options.wildType !== undefined) {
    throw new UsageError(
      '--wild-type is that of one --assay: with --assays give --reference, or FASTA files beside them',
    );
  }
  if (options.assays === undefined && options.reference !== undefined) {
    throw new UsageError('--reference is of --assays: give --wild-type with --assay');
  }
  const { task, split = [] } = options;
  if (task === 'fitness') {
    return;
  }
  const given = givenFlags(command, OF_ASSAYS);
  if (given.length > 0) {
    throw new UsageError(`${given.join(', ')} is of --task fitness: leave it out with --task ${task}`);
  }
  const other = split.find((name) => name !== 'random');
  if (other !== undefined) {
    throw new UsageError(`--split ${other} is of --task fitness: --task ${task} has random folds`);
  }
}

async function finetune(options: FinetuneOptions): Promise<void> {
  const output = tableOutput(options);
  await modelAlphabet(options.model, 'finetune', ['protein']);
  if (options.save !== undefined) {
    const { checkHeadFolder } = await import('../scoring/heads/headFiles.js');
    checkHeadFolder(options.save, options.model);
  }
  if (options.task !== 'fitness') {
    return finetuneClasses(options, options.task);
  }
  const { readAssay } = await import('../scoring/assay.js');
  const { findAssays } = await import('../scoring/benchmark.js');
  const assayOptions = { ...options, columns: columnNames(options) };
  const files =
    options.assays === undefined
      ? [
          {
            id: basename(options.assay!).replace(/\.\w+(\.gz)?$/, ''),
            path: options.assay!,
            wildType: await givenWildType(options),
          },
        ]
      : await findAssays(options.assays, options.reference);
  const { startEngine } = await import('../engines/index.js');
  const { loadModel } = await import('../model/files.js');
  const engine = await startEngine(options.device, { threads: options.threads });
  const models: LanguageModel[] = [];
  for (const folder of options.model) {
    models.push(await loadModel(folder));
  }
  const rows: Row[] = [];
  for (const file of files) {
    const assay = await readAssay(file.path, file.wildType, assayOptions);
    for (const [reason, count] of Object.entries(assay.skipped)) {
      if (count > 0) {
        process.stderr.write(`warning: ${file.path}: ${count} rows left out (${reason})\n`);
      }
    }
    rows.push(...(await finetuneAssay(file.id, file.path, assay, models, options)));
  }
  for (const model of models) {
    model.dispose();
  }
  await engine.stop();
  if (rows.length > 0) {
    await output.write(from(rows));
  }
}

/** Classification: cross-validation in random folds, and the head of all sequences. */
async function finetuneClasses(options: FinetuneOptions, task: Classification): Promise<void> {
  const output = tableOutput(options);
  if (options.assay === undefined || options.model.length > 1) {
    throw new UsageError(`--task ${task} takes one --assay and one --model`);
  }
  const { argmax, snapshotParameters } = await import('../scoring/heads/gradientHead.js');
  const { evaluateClasses, labelledExamples, readLabelled, trainClassifier } = await import(
    '../scoring/heads/classifier.js'
  );
  const { saveHead } = await import('../scoring/heads/headFiles.js');
  const { Random } = await import('../data/random.js');
  const { startEngine } = await import('../engines/index.js');
  const { loadModel, readModelConfig } = await import('../model/files.js');
  const { config } = await readModelConfig(options.model[0]);
  const columns = { sequence: options.sequenceColumn, label: options.labelColumn };
  const data = await readLabelled(options.assay, task, columns, config);
  const engine = await startEngine(options.device, { threads: options.threads });
  const model = await loadModel(options.model[0]);
  const progress = createProgress({ label: task, unit: 'epochs', quiet: options.quiet });
  const settings = {
    ...options,
    loss: 'classification' as const,
    onEpoch: (epoch: number, figure: number) => progress.update(epoch, `accuracy held out ${figure.toFixed(3)}`),
  };
  const restore = await snapshotParameters(model);
  const all = data.sequences.map((_, i) => i);
  const subset = (rows: readonly number[]) => ({
    ...data,
    sequences: rows.map((row) => data.sequences[row]),
    labels: rows.map((row) => data.labels[row]),
  });
  const rows: Row[] = [];
  const truths: number[] = [];
  const answers: number[] = [];
  const add = (fold: string, train: number, test: number, truth: number[], answer: number[]) => {
    const { accuracy, mcc, majority } = evaluateClasses(truth, answer, data.classes.length);
    const rounded = (value: number) => Math.round(value * 1e4) / 1e4;
    const measures = { accuracy: rounded(accuracy), mcc: rounded(mcc), majority: rounded(majority) };
    rows.push({ task, fold, train, test, ...measures });
  };
  if (options.split !== undefined || options.save === undefined) {
    const order = new Random(options.seed, all.length).shuffle([...all]);
    for (let fold = 0; fold < options.folds; fold++) {
      const test = order.filter((_, i) => i % options.folds === fold);
      const training = order.filter((_, i) => i % options.folds !== fold);
      const head = await trainClassifier(model, subset(training), settings);
      const examples = labelledExamples(model, subset(test));
      const truth = examples.flatMap((example) => [...example.targets!]);
      const answer = (await head.predict(examples)).map(argmax);
      head.dispose();
      restore();
      add(String(fold + 1), training.length, test.length, truth, answer);
      append(truths, truth);
      append(answers, answer);
      progress.log(`fold ${fold + 1} of ${options.folds}: accuracy ${rows.at(-1)!.accuracy}`);
    }
    add('all', all.length, all.length, truths, answers);
  }
  if (options.save !== undefined) {
    const head = await trainClassifier(model, data, settings);
    await saveHead(Object.assign(head, { method: 'fine-tune' as const }), options.save, {
      models: options.model,
      wildType: '',
      offset: 1,
      trained: all.length,
      tuned: options.layers !== 0,
      task,
      classes: data.classes,
    });
  }
  progress.end();
  model.dispose();
  await engine.stop();
  if (rows.length > 0) {
    await output.write(from(rows));
  }
}

async function givenWildType({ wildType }: FinetuneOptions): Promise<string | undefined> {
  if (wildType === undefined) {
    return undefined;
  }
  const { readProteins } = await import('../data/proteins.js');
  for await (const { sequence } of readProteins(wildType)) {
    return sequence;
  }
  throw new InputError(`${wildType} has no sequence; give a FASTA file with the wild type`);
}

async function finetuneAssay(
  id: string,
  path: string,
  assay: Assay,
  models: readonly LanguageModel[],
  options: FinetuneOptions,
): Promise<Row[]> {
  const { unscorable } = await import('../scoring/schemes.js');
  const { VariantFeatures } = await import('../scoring/heads/features.js');
  const { assignFolds } = await import('../scoring/heads/folds.js');
  const { crossValidate, fitAssayHead, trainAndPredict } = await import('../scoring/heads/assayHead.js');
  const { binarise, evaluateScores } = await import('../scoring/metrics.js');
  const { isSubstitution } = await import('../scoring/variants.js');
  const { Random } = await import('../data/random.js');

  const kept = [...assay.variants.keys()].filter((i) => !unscorable(models[0], assay.wildType, assay.variants[i]));
  if (kept.length < assay.variants.length) {
    const left = assay.variants.length - kept.length;
    process.stderr.write(
      `warning: ${path}: ${left} rows left out (stop codons or letters that the model does not know)\n`,
    );
  }
  const variants = kept.map((i) => assay.variants[i]);
  const measured = Float64Array.from(kept, (i) => assay.measured[i]);
  const labels = assay.labels ? Uint8Array.from(kept, (i) => assay.labels![i]) : binarise(measured);
  const progress = createProgress({ label: id, unit: 'steps', quiet: options.quiet });
  const features: VariantFeatures = new VariantFeatures(models, assay.wildType, variants, {
    ...scoreOptions(options),
    onProgress: (done, total) => progress.update(done, `of ${total}: features`),
  });
  const settings = {
    ...options,
    onEpoch: (epoch: number, figure: number) => progress.update(epoch, `epochs, held out ${figure.toFixed(3)}`),
  };

  const rows: Row[] = [];
  const add = (
    method: Method,
    split: string,
    fold: string,
    training: number,
    test: readonly number[],
    predicted: Float64Array,
  ) => {
    const of = (values: ArrayLike<number>) => test.map((row) => values[row]);
    rows.push({
      assay: id,
      method,
      split,
      fold,
      train: training,
      test: test.length,
      ...figures(evaluateScores(of(measured), predicted, of(labels))),
    });
  };
  const all = variants.map((_, i) => i);
  const single = variants.every((variant) => isSubstitution(variant) && variant.edits.length <= 1);
  const methods = options.method.filter((method) => {
    const possible = variants.every(isSubstitution) || !(method === 'one-hot' || method.startsWith('augmented'));
    if (!possible) {
      process.stderr.write(`warning: ${path}: --method ${method} left out, its variants change the length\n`);
    }
    return possible;
  });
  const lowN = options.trainSize ?? [];
  const splits =
    options.split ??
    (lowN.length > 0 ? [] : options.save !== undefined && options.assays === undefined ? [] : ['random' as const]);
  for (const method of methods) {
    for (const split of splits) {
      if (split !== 'random' && !single) {
        process.stderr.write(`warning: ${path}: --split ${split} left out, it is for single substitutions\n`);
        continue;
      }
      const folds = assignFolds(variants, split, options.folds, options.seed);
      const predicted = await crossValidate(method, features, measured, folds, {
        ...settings,
        onFold: (done) => progress.update(done, `folds of ${split}, ${method}`),
      });
      for (let fold = 0; fold < options.folds; fold++) {
        const test = all.filter((row) => folds[row] === fold);
        if (test.length === 0) {
          continue;
        }
        add(
          method,
          split,
          String(fold + 1),
          all.length - test.length,
          test,
          Float64Array.from(test, (row) => predicted[row]),
        );
      }
      add(method, split, 'all', all.length, all, predicted);
      progress.log(`${id} ${method} ${split}: Spearman ${(rows.at(-1)!.spearman as number).toFixed(3)}`);
    }
    for (const size of lowN) {
      for (let repeat = 0; repeat < options.repeats; repeat++) {
        const order = new Random(options.seed, repeat).shuffle([...all]);
        const held = Math.max(2, Math.floor(order.length / 5));
        if (size > order.length - held) {
          throw new InputError(`${path}: --train-size ${size} of ${order.length} variants leaves no fifth to test on`);
        }
        const test = order.slice(0, held);
        const training = order.slice(held, held + size);
        add(
          method,
          'low-N',
          String(repeat + 1),
          size,
          test,
          await trainAndPredict(method, features, measured, training, test, settings),
        );
      }
    }
  }
  progress.end();

  if (options.save !== undefined) {
    const [method] = methods;
    if (!method) {
      throw new InputError(`${path}: no method is left to save`);
    }
    const { saveHead } = await import('../scoring/heads/headFiles.js');
    if (method === 'fine-tune') {
      await features.zeroShot();
    }
    const head = await fitAssayHead(method, features, all, measured, settings);
    await saveHead(head, options.save, {
      models: options.model,
      wildType: assay.wildType,
      offset: options.offset ?? 1,
      trained: all.length,
      scoring: scoreOptions(options),
      tuned: method === 'fine-tune' && options.layers !== 0,
    });
    if (!options.quiet) {
      process.stderr.write(`saved ${options.save}: use it with protein-lm score --head ${options.save}\n`);
    }
  }
  return rows;
}

/** A metric's columns, four decimals; nothing where it is not defined. */
function figures(metrics: Metrics): Row {
  const rounded = (value: number) => (Number.isNaN(value) ? null : Math.round(value * 1e4) / 1e4);
  const { spearman, auc, mcc, ndcg, topRecall } = metrics;
  return {
    spearman: rounded(spearman),
    auc: rounded(auc),
    mcc: rounded(mcc),
    ndcg: rounded(ndcg),
    top_recall: rounded(topRecall),
  };
}
