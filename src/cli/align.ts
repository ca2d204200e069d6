import { Command, Option } from 'commander';
import { SEARCH_PROGRAMS, type SearchProgram } from '../alignment/search.js';
import { InputError } from '../data/errors.js';
import { addCommonOptions, addExamples, type CommonOptions, number, wholeNumber } from './options.js';
import { createProgress } from './progress.js';

interface AlignOptions extends CommonOptions {
  database: string;
  out: string;
  program?: SearchProgram;
  rounds: number;
  evalue: number;
  coverage: number;
}

/** `protein-lm align`: the alignment of a protein's family, by MMseqs2 or HMMER. */
export function alignCommand(): Command {
  const command = new Command('align')
    .description(
      'Search a database for the family of a protein with MMseqs2 or HMMER (apt install mmseqs2, or hmmer), and align ' +
        'what is found to it. Prints how deep and how wide the alignment is.',
    )
    .argument('<fasta>', 'the protein: FASTA, plain or gzip, of one sequence')
    .requiredOption('--database <fasta>', 'proteins to search: FASTA, plain or gzip')
    .requiredOption('--out <file>', 'alignment to write: a3m')
    .addOption(
      new Option('--program <name>', 'what searches (default: mmseqs2 where it is installed, else hmmer)').choices(
        SEARCH_PROGRAMS,
      ),
    )
    .option('--rounds <n>', 'rounds of search, each with the profile of the one before', wholeNumber(1, 20), 3)
    .option('--evalue <x>', 'largest E-value of a row', number(0), 1e-3)
    .option('--coverage <share>', "least share of the protein's residues that a row has beside it", number(0, 1), 0.5)
    .action(align);
  addCommonOptions(command, 'threads');
  return addExamples(
    command,
    'protein-lm align protein.fasta --database proteins.fasta.gz --out family.a3m',
    'protein-lm align protein.fasta --database proteins.fasta --program hmmer --coverage 0.7 --out family.a3m',
  );
}

async function align(fasta: string, options: AlignOptions): Promise<void> {
  const { readProteins } = await import('../data/proteins.js');
  const { Warnings } = await import('../data/warnings.js');
  const { searchFamily } = await import('../alignment/search.js');
  const { GAP, readAlignment } = await import('../alignment/alignment.js');
  const { effectiveDepth, sequenceWeights } = await import('../alignment/weights.js');
  const { writeFileAtomic } = await import('../formats/atomicFile.js');
  const warnings = new Warnings();
  const proteins: { id: string; sequence: string }[] = [];
  for await (const record of readProteins(fasta, { warnings })) {
    proteins.push(record);
  }
  if (proteins.length !== 1) {
    throw new InputError(`${fasta}: ${proteins.length} sequences; give a file with the one protein to search for`);
  }
  const [query] = proteins;
  const progress = createProgress({ label: 'searching', unit: 'rounds', quiet: options.quiet });
  const family = await searchFamily(query, options.database, options.out, {
    ...options,
    expected: options.evalue,
    warnings,
  });
  progress.end();
  for (const line of warnings.lines()) {
    process.stderr.write(`warning: ${line}\n`);
  }
  if (family.rows === 1) {
    throw new InputError(
      `${options.database}: nothing found in it for ${query.id} by ${family.program}` +
        `${family.short > 0 ? `, but ${family.short} rows that cover less than ${options.coverage} of it` : ''}; ` +
        'search a larger database, or allow more with --evalue and --coverage',
    );
  }
  await writeFileAtomic(options.out, family.a3m);
  const alignment = await readAlignment(options.out);
  const { depth, length, rows } = alignment;
  const effective = effectiveDepth(sequenceWeights(alignment));
  let residues = 0;
  const occupied = new Float64Array(length);
  for (const [i, code] of rows.entries()) {
    residues += Number(code < GAP);
    occupied[i % length] += Number(code < GAP) / depth;
  }
  const wide = occupied.filter((share) => share >= 0.7).length;
  process.stdout.write(
    `${options.out}: ${depth.toLocaleString('en-US')} rows by ${family.program} ` +
      `(${family.short.toLocaleString('en-US')} too short left out), Neff ${effective.toFixed(1)}, ` +
      `Neff/L ${(effective / length).toFixed(2)}\n` +
      `coverage: rows have ${((100 * residues) / rows.length).toFixed(0)} % of ${length} columns on average; ` +
      `${wide} columns have residues in 70 % of the rows\n`,
  );
}
