import { table } from 'arquero';
import { Command } from 'commander';
import { fitting, oneModelOption, openModel, readAllSequences } from './interpretOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, number } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';

interface SimilarityOptions extends CommonOptions, OutputOptions {
  model: string;
  threshold: number;
}

/** `protein-lm similarity`: how alike the residues are to a model, beside BLOSUM62. */
export function similarityCommand(): Command {
  const command = new Command('similarity')
    .description(
      'Similarity of the 20 residues from attention over a set of proteins (Vig et al. 2021), beside normalised ' +
        'BLOSUM62: a row a pair, most similar first. Their correlation goes to standard error.',
    )
    .argument('<fasta>', 'proteins, a few hundred: FASTA, plain or gzip; - for standard input')
    .addOption(oneModelOption().makeOptionMandatory())
    .option('--threshold <x>', 'attention at or below it does not count', number(0, 1), 0)
    .action(similarity);
  addOutputOptions(command);
  addCommonOptions(command, 'device', 'threads');
  return addExamples(
    command,
    'protein-lm similarity proteins.fasta --model runs/first --out similarity.csv',
    'protein-lm report similarity.csv --out similarity.html',
  );
}

async function similarity(fasta: string, options: SimilarityOptions): Promise<void> {
  const output = tableOutput(options);
  await modelAlphabet([options.model], 'similarity', ['protein']);
  const all = await readAllSequences(fasta);
  const { residueSimilarity } = await import('../interpret/similarity.js');
  const { model, stop } = await openModel(options.model, options);
  const records = await fitting(all, model, true);
  const progress = createProgress({
    label: 'similarity',
    total: records.length,
    unit: 'proteins',
    quiet: options.quiet,
  });
  const result = await residueSimilarity(
    model,
    records.map(({ sequence }) => sequence),
    { threshold: options.threshold, onSequence: (count) => progress.update(count) },
  );
  progress.end();
  const { pairs } = result;
  await output.write(
    table({
      residue_a: pairs.map(({ a }) => a),
      residue_b: pairs.map(({ b }) => b),
      attention: pairs.map(({ attention }) => Number(attention.toPrecision(6))),
      blosum62: pairs.map(({ blosum }) => Number(blosum.toPrecision(6))),
    }),
  );
  if (!options.quiet) {
    process.stderr.write(
      `correlation with BLOSUM62 over 190 pairs: Pearson ${result.pearson.toFixed(3)}, ` +
        `Spearman ${result.spearman.toFixed(3)}\n`,
    );
  }
  await stop();
}
