import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Command, Option } from 'commander';
import { InputError } from '../data/errors.js';
import type { Theme } from '../report/look.js';
import type { Report } from '../report/page.js';
import { UsageError } from './errors.js';
import { addChainOptions, type ChainOptions, readAllSequences, structureOptions } from './interpretOptions.js';
import { addExamples, type CommonOptions } from './options.js';

interface ReportOptions extends Pick<CommonOptions, 'quiet' | 'debug'>, ChainOptions {
  out?: string;
  charts?: string;
  theme: Theme;
  fasta?: string;
  assay?: string;
  structure?: string;
  sequence?: string;
}

/** `protein-lm report`: what other commands wrote, as a page to look at. */
export function reportCommand(): Command {
  const command = new Command('report')
    .description(
      'Draw a training run, scores, attention maps, contacts, residue similarity or approximation errors: one HTML ' +
        'file that needs nothing else, and with --charts each chart as .svg and .png.',
    )
    .argument(
      '<source>',
      'a run folder, maps (.npy, .npz, .safetensors, .csv), or a table that score, contacts, similarity or ' +
        'attention --approximation-error wrote',
    )
    .option('--out <file>', 'HTML file (default: report.html in a run folder, else <source>.html)')
    .option('--charts <folder>', 'also write each chart as .svg and .png into this folder')
    .addOption(new Option('--theme <name>', 'colours of --charts').choices(['light', 'dark']).default('light'))
    .option('--fasta <file>', 'the proteins or nucleotides of a table, for the letters that it does not name')
    .option('--assay <file>', 'measured values of the variants, to compare the scores with')
    .option('--structure <file>', 'structure to lay under contacts (PDB, mmCIF, BinaryCIF)')
    .option('--sequence <id>', 'only this protein (a page shows at most 20)')
    .option('--quiet', 'do not list the files that are written')
    .option('--debug', 'show the stack trace of an error')
    .action(report);
  addChainOptions(command, 'chain of --structure (default: the first)');
  return addExamples(
    command,
    'protein-lm report runs/first',
    'protein-lm report scores.csv --fasta protein.fasta --assay BLAT_ECOLX.csv --charts figures',
    'protein-lm report maps.npz --out maps.html',
    'protein-lm report contacts.csv --structure 1btl.pdb',
  );
}

async function report(source: string, options: ReportOptions): Promise<void> {
  if (!existsSync(source)) {
    throw new InputError(`${source}: no such file or folder`);
  }
  const folder = statSync(source).isDirectory();
  const html = options.out ?? (folder ? join(source, 'report.html') : `${withoutExtension(source)}.html`);
  if (!existsSync(dirname(html))) {
    throw new UsageError(`--out ${html}: the folder ${dirname(html)} does not exist; make it first`);
  }
  const { runReport } = await import('../report/runReport.js');
  const { writeReport } = await import('../report/write.js');
  const content = folder ? runReport(source) : await fileReport(source, options);
  const written = await writeReport(content, { html, charts: options.charts, theme: options.theme });
  if (!options.quiet) {
    for (const path of written) {
      process.stderr.write(`${path}\n`);
    }
  }
}

function withoutExtension(path: string): string {
  const plain = path.replace(/\.gz$/, '');
  return plain.slice(0, plain.length - extname(plain).length);
}

async function fileReport(source: string, options: ReportOptions): Promise<Report> {
  const { chooseProteins, tableReport } = await import('../report/tableReport.js');
  const known = { protein: options.sequence };
  if (['.npy', '.npz', '.safetensors'].includes(extname(source).toLowerCase())) {
    const { readMaps } = await import('../interpret/readMaps.js');
    const { mapsReport } = await import('../report/reports.js');
    return mapsReport(basename(source), chooseProteins(await readMaps(source), source, known));
  }
  const { readTable } = await import('../scoring/tables.js');
  const { readChain } = await import('../structures/structure.js');
  return tableReport(await readTable(source), source, {
    ...known,
    sequences: await sequencesOf(options),
    measured: options.assay === undefined ? undefined : await measuredValues(options.assay),
    chain:
      options.structure === undefined
        ? undefined
        : readChain(options.structure, options.chain, structureOptions(options)),
  });
}

/** The sequences of `--fasta`, by identifier: bases are letters of proteins, too, and no more than letters are drawn. */
async function sequencesOf({ fasta }: ReportOptions): Promise<Map<string, string>> {
  const records = fasta === undefined ? [] : await readAllSequences(fasta, 'protein', { nucleotides: true });
  return new Map(records.map(({ id, sequence }) => [id, sequence]));
}

async function measuredValues(path: string): Promise<Map<string, number>> {
  const { readTable, variantRows } = await import('../scoring/tables.js');
  const rows = variantRows(await readTable(path), path, {}, [['mutant'], ['score']]);
  return new Map(
    rows.flatMap(({ mutant, score }) => (mutant !== undefined && score !== undefined ? [[mutant, score]] : [])),
  );
}
