import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { table } from 'arquero';
import { Command } from 'commander';
import { InputError } from '../data/errors.js';
import type { ContactHead, ContactPrecision } from '../interpret/contacts.js';
import type { ContactRow } from '../interpret/contactTable.js';
import type { LanguageModel } from '../model/model.js';
import { type ContactInput, readContactInputs } from './contactInputs.js';
import { UsageError } from './errors.js';
import { addChainOptions, type ChainOptions, fitting, oneModelOption, openModel } from './interpretOptions.js';
import { modelAlphabet } from './modelAlphabet.js';
import { addCommonOptions, addExamples, type CommonOptions, givenFlags, number, wholeNumber } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';
import { createProgress } from './progress.js';

interface ContactOptions extends CommonOptions, OutputOptions, ChainOptions {
  model: string;
  fit?: boolean;
  head?: string;
  top?: number;
  all?: boolean;
  precision?: boolean;
  minSeparation: number;
  inversePenalty?: number;
}

/** Options that choose the pairs of the table. */
const PAIRS = ['top', 'all', 'minSeparation'];

/** `protein-lm contacts`: residues in contact, from attention. */
export function contactsCommand(): Command {
  const command = new Command('contacts')
    .description(
      'Predict contacts (C-beta under 8 angstrom) by a logistic regression over all heads (Rao et al. 2021): the ' +
        "checkpoint's own contact_head, or one fitted with --fit. A structure among the inputs is also what its " +
        'prediction is judged by.',
    )
    .argument('<inputs...>', 'proteins: FASTA files, or structures (PDB, mmCIF, BinaryCIF, also .gz)')
    .addOption(oneModelOption().makeOptionMandatory())
    .option('--fit', 'fit the regression on the structures and write it to --head')
    .option(
      '--inverse-penalty <c>',
      "C of the L1 penalty of --fit (default: 0.15 with softmax attention, else 10, as other kinds' maps are diffuse)",
      number(1e-9),
    )
    .option('--head <file>', 'the fitted regression, JSON (default: contact_head.json in the model folder)')
    .option('--top <n>', 'pairs of each protein (default: as many as it has residues)', wholeNumber(1))
    .option('--all', 'all pairs')
    .option('--min-separation <n>', 'least distance in sequence', wholeNumber(1), 6)
    .option('--precision', 'a table of the precision at L, L/2 and L/5 instead of the pairs')
    .action((inputs: string[], options: ContactOptions) => contacts(inputs, options, command));
  addChainOptions(command, 'chain of the structures (default: the first of each)');
  addOutputOptions(command);
  addCommonOptions(command, 'seed', 'device', 'threads');
  return addExamples(
    command,
    'protein-lm contacts protein.fasta --model esm2_t6_8M_UR50D --out contacts.csv',
    'protein-lm contacts --fit structures/*.pdb --model runs/first',
    'protein-lm contacts 1btl.pdb --model runs/first --precision',
    'protein-lm report contacts.csv --structure 1btl.pdb',
  );
}

async function contacts(inputs: string[], options: ContactOptions, command: Command): Promise<void> {
  if (options.top !== undefined && options.all) {
    throw new UsageError('--top and --all exclude each other');
  }
  const refuse = (names: string[], reason: string) => {
    const flags = givenFlags(command, names);
    if (flags.length > 0) {
      throw new UsageError(`${flags.join(', ')}: ${reason}; leave it out`);
    }
  };
  if (options.fit) {
    refuse(['out', 'format', 'precision', ...PAIRS], '--fit writes --head, and predicts nothing');
  } else {
    refuse(['inversePenalty'], 'there is nothing to penalise without --fit');
  }
  if (options.precision) {
    refuse(PAIRS, '--precision is of the best L, L/2 and L/5 pairs, at least 6 and 24 apart');
  }
  const output = tableOutput(options);
  await modelAlphabet([options.model], 'contacts', ['protein']);
  const proteins = await readContactInputs(inputs, options);
  const headPath = options.head ?? join(options.model, 'contact_head.json');
  const judged = proteins.filter(({ known }) => known);
  if (options.fit && judged.length < proteins.length) {
    throw new UsageError('--fit takes structures only: leave out the FASTA files');
  }
  if (options.precision && judged.length === 0) {
    throw new UsageError('--precision needs structures among the inputs (.pdb, .cif, .bcif)');
  }
  const { model, stop } = await openModel(options.model, options);
  if (options.fit) {
    await fitHead(model, await fitting(judged, model, true), headPath, options);
  } else {
    await fitting(proteins, model);
    const head = await openHead(model, headPath, options);
    await predict(model, head, proteins, output, options);
  }
  await stop();
}

async function fitHead(
  model: LanguageModel,
  proteins: ContactInput[],
  path: string,
  options: ContactOptions,
): Promise<void> {
  const { defaultInversePenalty, fitContactHead, residueMaps } = await import('../interpret/contacts.js');
  const { writeFileAtomic } = await import('../formats/atomicFile.js');
  const channels = model.config.num_hidden_layers * model.config.num_attention_heads;
  const inversePenalty = options.inversePenalty ?? defaultInversePenalty(model);
  const progress = createProgress({
    label: 'fitting',
    total: proteins.length,
    unit: 'structures',
    quiet: options.quiet,
  });
  let done = 0;
  const known = proteins.flatMap((protein) => protein.known ?? []);
  const head = await fitContactHead(
    channels,
    known,
    async function* (sequence) {
      yield* residueMaps(model, model.alphabet.encode(sequence));
      progress.update(++done);
    },
    { inversePenalty, seed: options.seed },
  );
  progress.end();
  await writeFileAtomic(path, `${JSON.stringify({ weights: [...head.weights], bias: head.bias })}\n`);
  const used = head.weights.filter((weight) => weight !== 0).length;
  if (used === 0) {
    process.stderr.write(
      'warning: no head says anything about these contacts; raise --inverse-penalty, or train the model longer\n',
    );
  } else if (!options.quiet) {
    process.stderr.write(`${path}: ${used} of ${channels} heads take part; contacts now predicts with it\n`);
  }
}

async function openHead(model: LanguageModel, path: string, options: ContactOptions): Promise<ContactHead> {
  const { contactHeadOf } = await import('../interpret/contacts.js');
  const { readContactHead } = await import('../interpret/contactTable.js');
  if (existsSync(path)) {
    return readContactHead(path);
  }
  if (options.head !== undefined) {
    throw new InputError(`${path}: no such file: write it with protein-lm contacts --fit STRUCTURES --head ${path}`);
  }
  const own = await contactHeadOf(model);
  if (!own) {
    throw new InputError(
      `${options.model}: it has no contact head: fit one with protein-lm contacts --fit STRUCTURES --model ${options.model}`,
    );
  }
  return own;
}

async function predict(
  model: LanguageModel,
  head: ContactHead,
  proteins: ContactInput[],
  output: ReturnType<typeof tableOutput>,
  options: ContactOptions,
): Promise<void> {
  const { contactPrecision, predictContacts, topContacts } = await import('../interpret/contacts.js');
  const { contactColumns } = await import('../interpret/contactTable.js');
  const progress = createProgress({
    label: 'contacts',
    total: proteins.length,
    unit: 'proteins',
    quiet: options.quiet,
  });
  const rows: ContactRow[] = [];
  const precisions: (ContactPrecision & { id: string })[] = [];
  for (const [index, protein] of proteins.entries()) {
    const { id, sequence, known } = protein;
    const n = sequence.length;
    const probabilities = await predictContacts(model, model.alphabet.encode(sequence), head);
    const count = options.all ? n * n : (options.top ?? n);
    if (!options.precision) {
      for (const pair of topContacts(probabilities, n, count, options.minSeparation)) {
        rows.push({ protein, ...pair });
      }
    }
    if (known) {
      precisions.push(...contactPrecision(probabilities, known).map((precision) => ({ id, ...precision })));
    }
    progress.update(index + 1);
  }
  progress.end();
  if (options.precision) {
    await output.write(
      table({
        sequence_id: precisions.map(({ id }) => id),
        min_separation: precisions.map(({ separation }) => separation),
        top: precisions.map(({ top }) => top),
        pairs: precisions.map(({ pairs }) => pairs),
        precision: precisions.map(({ precision }) => rounded(precision)),
        random: precisions.map(({ random }) => rounded(random)),
      }),
    );
    return;
  }
  await output.write(table(contactColumns(rows)));
  if (options.quiet) {
    return;
  }
  for (const { id, separation, top, precision } of precisions) {
    if (top === 'L') {
      process.stderr.write(`${id}: precision at L for |i - j| >= ${separation}: ${precision.toFixed(3)}\n`);
    }
  }
}

function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(6));
}
