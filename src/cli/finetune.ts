import { from } from 'arquero';
import { Command } from 'commander';
import { lockFolder } from '../formats/lock.js';
import type { Classification } from '../scoring/heads/classifier.js';
import { UsageError } from './errors.js';
import { type FigureRow, figures } from './figures.js';
import { finetuneAssays } from './finetuneAssays.js';
import { addFinetuneOptions, checkUsage, type FinetuneOptions } from './finetuneOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addExamples } from './options.js';
import { tableOutput } from './output.js';
import { createProgress } from './progress.js';

/** `protein-lm finetune`: heads that learn from assays. */
export function finetuneCommand(): Command {
  const command = new Command('finetune').description(
    'Train a head on an assay: cross-validate it, and save it for `score --head`. The table has one row a fold, and ' +
      "for each split a row `all`: the predictions of all folds together, ProteinGym's figure.",
  );
  addFinetuneOptions(command);
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
  gp                   Gaussian process over the mutated sites' likeness (letters of the family, distance, exposure):
                       takes --alignment, --structure and --model, as many as there are; tells how sure it is
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
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --method gp --alignment family.a3m --structure protein.pdb --split random contiguous modulo --save heads/gp',
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --model runs/first --method one-hot augmented --train-size 24 96 384',
    'protein-lm finetune --assay mutants.csv --wild-type protein.fasta --model runs/first --method fine-tune --layers all --loss ranking',
    'protein-lm finetune --task residues --assay secondary_structure.csv --model runs/first --layers 2 --save heads/ss3',
    'protein-lm finetune --assays dms --model runs/first --method one-hot augmented site-embedding --out heads.csv',
  );
}

async function finetune(options: FinetuneOptions): Promise<void> {
  const output = tableOutput(options);
  const { model = [] } = options;
  if (model.length > 0) {
    await modelAlphabet(model, 'finetune', ['protein']);
  }
  if (options.save !== undefined) {
    const { checkHeadFolder } = await import('../scoring/heads/headFiles.js');
    checkHeadFolder(options.save, model);
  }
  const rows =
    options.task === 'fitness' ? await finetuneAssays(options) : await finetuneClasses(options, options.task);
  if (rows.length > 0) {
    await output.write(from(rows));
  }
}

/** Classification: cross-validation in random folds, and the head of all sequences. */
async function finetuneClasses(options: FinetuneOptions, task: Classification): Promise<FigureRow[]> {
  const { assay: path, save, model: folders = [] } = options;
  const [folder, ...others] = folders;
  if (path === undefined || folder === undefined || others.length > 0) {
    throw new UsageError(`--task ${task} takes one --assay and one --model`);
  }
  const { readLabelled, trainClassifier } = await import('../scoring/heads/classifier.js');
  const { crossValidateClasses } = await import('../scoring/heads/crossValidation.js');
  const { startEngine } = await import('../engines/index.js');
  const { loadModel, readModelConfig } = await import('../model/files.js');
  const { config } = await readModelConfig(folder);
  const data = await readLabelled(path, task, { sequence: options.sequenceColumn, label: options.labelColumn }, config);
  const engine = await startEngine(options.device, { threads: options.threads });
  const model = await loadModel(folder);
  const progress = createProgress({ label: task, unit: 'epochs', quiet: options.quiet });
  const settings = {
    ...options,
    onEpoch: (epoch: number, figure: number) => progress.update(epoch, `accuracy held out ${figure.toFixed(3)}`),
  };
  const rows: FigureRow[] = [];
  if (options.split !== undefined || save === undefined) {
    for await (const { metrics, ...about } of crossValidateClasses(model, data, settings)) {
      const { accuracy, mcc, majority } = metrics;
      rows.push({ task, ...about, ...figures({ accuracy, mcc, majority }) });
      if (about.fold !== 'all') {
        progress.log(`fold ${about.fold} of ${options.folds}: accuracy ${rows.at(-1)!.accuracy}`);
      }
    }
  }
  if (save !== undefined) {
    const { saveHead } = await import('../scoring/heads/headFiles.js');
    const head = await trainClassifier(model, data, settings);
    await saveHead(Object.assign(head, { method: 'fine-tune' as const }), save, {
      models: folders,
      wildType: '',
      offset: 1,
      trained: data.sequences.length,
      tuned: options.layers !== 0,
      task,
      classes: data.classes,
    });
  }
  progress.end();
  model.dispose();
  await engine.stop();
  return rows;
}
