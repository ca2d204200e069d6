import { existsSync, readFileSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { table } from 'arquero';
import { Command } from 'commander';
import { append } from '../data/arrays.js';
import { InputError } from '../data/errors.js';
import type { ProteinRecord } from '../data/proteins.js';
import type { ContactHead, ContactPrecision, KnownContacts } from '../interpret/contacts.js';
import type { LanguageModel } from '../model/model.js';
import type { Chain } from '../structures/structure.js';
import { printWarnings } from './data.js';
import { UsageError } from './errors.js';
import {
  addChainOptions,
  type ChainOptions,
  fitting,
  oneModelOption,
  openModel,
  readAllSequences,
  structureOptions,
} from './interpretOptions.js';
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

/** Ends of the names of structure files. */
const STRUCTURE = /\.(pdb\d*|ent|pdbx|cif|mmcif|bcif)(\.gz)?$/i;

interface Protein extends ProteinRecord {
  known?: KnownContacts & { chain: Chain };
}

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
  const proteins = await readInputs(inputs, options);
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

async function readInputs(inputs: string[], options: ContactOptions): Promise<Protein[]> {
  const { contactPairs, isStructureFile, readChain } = await import('../structures/structure.js');
  const { Warnings } = await import('../data/warnings.js');
  const structures = new Set(inputs.filter(isStructureFile));
  const names = shortNames([...structures].map(stem));
  const warnings = new Warnings();
  const proteins: Protein[] = [];
  for (const path of inputs) {
    if (structures.has(path)) {
      const chain = readChain(path, options.chain, { ...structureOptions(options), warnings });
      const { sequence, residues } = chain;
      const unresolved = new Set([...residues.keys()].filter((i) => residues[i].position === undefined));
      const known = { sequence, contacts: contactPairs(chain), unresolved, chain };
      const id = `${names.get(stem(path))}_${chain.id}`;
      proteins.push({ id, description: id, sequence, file: path, line: 1, known });
    } else {
      append(proteins, await readAllSequences(path));
    }
  }
  printWarnings(warnings);
  const files = new Map<string, string>();
  for (const { id, file } of proteins) {
    const other = files.get(id);
    if (other !== undefined) {
      throw new InputError(`${file}: ${id} is in ${other} as well; give one of them`);
    }
    files.set(id, file);
  }
  return proteins;
}

/** The whole path of a structure, without extension. */
function stem(path: string): string {
  return resolve(path).replace(STRUCTURE, '');
}

/** The last part of each path; where several have the same, with as many folders before it as tell them apart. */
function shortNames(paths: string[]): Map<string, string> {
  const names = new Map<string, string>();
  let alike = [...new Set(paths)];
  for (let parts = 1; alike.length > 0; parts++) {
    const counts = new Map<string, number>();
    for (const path of alike) {
      const name = path.split(sep).slice(-parts).join('/');
      names.set(path, name);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    alike = alike.filter((path) => counts.get(names.get(path)!)! > 1);
  }
  return names;
}

async function fitHead(
  model: LanguageModel,
  proteins: Protein[],
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
  if (existsSync(path)) {
    try {
      const { weights, bias } = JSON.parse(readFileSync(path, 'utf8'));
      if (Array.isArray(weights) && [...weights, bias].every(Number.isFinite)) {
        return { weights: Float32Array.from(weights), bias };
      }
    } catch {
      // Not JSON: said below.
    }
    throw new InputError(`${path}: not a contact head: write it with protein-lm contacts --fit`);
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
  proteins: Protein[],
  output: ReturnType<typeof tableOutput>,
  options: ContactOptions,
): Promise<void> {
  const { contactPrecision, predictContacts, topContacts } = await import('../interpret/contacts.js');
  const progress = createProgress({
    label: 'contacts',
    total: proteins.length,
    unit: 'proteins',
    quiet: options.quiet,
  });
  const rows: { protein: Protein; i: number; j: number; probability: number }[] = [];
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
  const contactsOf = new Map(
    proteins.map((protein) => [
      protein,
      new Set(protein.known?.contacts.map(([i, j]) => i * protein.sequence.length + j)),
    ]),
  );
  await output.write(
    table({
      sequence_id: rows.map(({ protein }) => protein.id),
      i: rows.map(({ i }) => i + 1),
      j: rows.map(({ j }) => j + 1),
      residue_i: rows.map(({ protein, i }) => protein.sequence[i]),
      residue_j: rows.map(({ protein, j }) => protein.sequence[j]),
      probability: rows.map(({ probability }) => rounded(probability)),
      ...(proteins.some(({ known }) => known)
        ? {
            number_i: rows.map(({ protein, i }) => protein.known?.chain.residues[i].number || null),
            number_j: rows.map(({ protein, j }) => protein.known?.chain.residues[j].number || null),
            contact: rows.map(({ protein, i, j }) =>
              protein.known && !isUnresolved(protein.known, i, j)
                ? Number(contactsOf.get(protein)!.has(i * protein.sequence.length + j))
                : null,
            ),
          }
        : {}),
    }),
  );
  if (options.quiet) {
    return;
  }
  for (const { id, separation, top, precision } of precisions) {
    if (top === 'L') {
      process.stderr.write(`${id}: precision at L for |i - j| >= ${separation}: ${precision.toFixed(3)}\n`);
    }
  }
}

/** Whether a pair's contact is not known, since a residue of it was not resolved. */
function isUnresolved({ unresolved }: KnownContacts, i: number, j: number): boolean {
  return unresolved !== undefined && (unresolved.has(i) || unresolved.has(j));
}

function rounded(value: number): number | null {
  return Number.isNaN(value) ? null : Number(value.toPrecision(6));
}
