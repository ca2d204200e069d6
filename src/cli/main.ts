import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { MODEL_WARNING } from '../data/warnings.js';
import { alignCommand } from './align.js';
import { attentionCommand } from './attention.js';
import { benchmarkCommand } from './benchmark.js';
import { contactsCommand } from './contacts.js';
import { convertCommand } from './convert.js';
import { dataCommand } from './data.js';
import { doctorCommand } from './doctor.js';
import { downloadCommand } from './download.js';
import { embedCommand } from './embed.js';
import { describeError } from './errors.js';
import { evaluateCommand } from './evaluate.js';
import { experimentCommand } from './experiment.js';
import { finetuneCommand } from './finetune.js';
import { addModelNames } from './modelNames.js';
import { addExamples } from './options.js';
import { pretrainCommand } from './pretrain.js';
import { profileCommand } from './profile.js';
import { reportCommand } from './report.js';
import { scoreCommand } from './score.js';
import { similarityCommand } from './similarity.js';
import { suggestCommand } from './suggest.js';

/** Codes that commander gives to a request for help or the version, which is no error. */
const ASKED = new Set(['commander.helpDisplayed', 'commander.version']);

/** The program: one subcommand from each file of this folder that is a command. */
export function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const root = new Command('protein-lm')
    .description('Pretrain, score and explain protein language models.')
    .version(version, '--version', 'print the version')
    .helpCommand(false);
  root.addCommand(dataCommand());
  root.addCommand(pretrainCommand());
  root.addCommand(evaluateCommand());
  root.addCommand(convertCommand());
  root.addCommand(experimentCommand());
  root.addCommand(alignCommand());
  root.addCommand(scoreCommand());
  root.addCommand(benchmarkCommand());
  root.addCommand(embedCommand());
  root.addCommand(finetuneCommand());
  root.addCommand(suggestCommand());
  root.addCommand(attentionCommand());
  root.addCommand(similarityCommand());
  root.addCommand(contactsCommand());
  root.addCommand(reportCommand());
  root.addCommand(downloadCommand());
  root.addCommand(profileCommand());
  root.addCommand(doctorCommand());
  addExamples(
    root,
    'protein-lm pretrain --fasta proteins.fasta.gz --preset performer-tiny --minutes 2 --out runs/first',
    'protein-lm evaluate --model runs/first',
    'protein-lm score protein.fasta --model runs/first --out scores.csv',
    'protein-lm report scores.csv',
  );
  prepare(root);
  return root;
}

/**
 * Lets errors of usage, one line each, reach `main` instead of ending the process inside commander, and options name
 * models of the hub.
 */
function prepare(command: Command): void {
  command.exitOverride().configureOutput({
    outputError: (text, write) => write(`${text.trim().replaceAll('\n', ' ')} (see ${path(command)} --help)\n`),
  });
  addModelNames(command);
  for (const child of command.commands) {
    prepare(child);
  }
}

function path(command: Command): string {
  return command.parent ? `${path(command.parent)} ${command.name()}` : command.name();
}

/**
 * Runs the command line and ends the process: exit code 0 done, 1 failed, 2 wrong usage. `argv` is process.argv.
 * An error is one line on standard error; `--debug` adds its stack trace.
 */
export async function main(argv: string[]): Promise<void> {
  // Whoever reads our output may stop reading (`protein-lm … | head`): that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  process.stderr.on('error', () => {});
  showModelWarnings();
  const exitCode = await run(argv);
  // An engine may hold handles that keep Node running: once the output is out, the process ends.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  process.exit(exitCode);
}

/** Prints warnings of models as this program does its own, and leaves the rest to Node.js. */
function showModelWarnings(): void {
  const others = process.listeners('warning');
  process.removeAllListeners('warning').on('warning', (warning) => {
    if (warning.name === MODEL_WARNING) {
      process.stderr.write(`warning: ${warning.message}\n`);
      return;
    }
    for (const show of others) {
      show(warning);
    }
  });
}

async function run(argv: string[]): Promise<number> {
  try {
    await program().parseAsync(argv);
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) {
      return ASKED.has(error.code) ? 0 : 2;
    }
    const { line, exitCode } = describeError(error);
    if (argv.includes('--debug') && error instanceof Error) {
      process.stderr.write(`${error.stack}\n`);
    }
    process.stderr.write(`error: ${line}\n`);
    return exitCode;
  }
}
