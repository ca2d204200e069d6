import { spawn } from 'node:child_process';
import { Command } from 'commander';
import { lockFolder } from '../formats/lock.js';
import { INTERRUPTED } from './errors.js';
import { addCommonOptions, type CommonOptions } from './options.js';

interface CellOptions extends CommonOptions {
  folders: string;
}

/** Milliseconds that a cell waits for another process to leave its folder. */
const PATIENCE = 120_000;

/** `protein-lm experiment cell`: what the processes of an experiment run. */
export function cellCommand(): Command {
  const command = new Command('cell').argument('<folder>').requiredOption('--folders <folder>');
  addCommonOptions(command, 'device', 'threads');
  return command.action(workOnCell);
}

/** A process of its own for each cell: its peak memory is the cell's, and it may fail alone. */
export function workInProcess(folder: string, folders: string, options: CommonOptions): Promise<string | undefined> {
  const args = ['experiment', 'cell', folder, '--folders', folders, '--device', options.device];
  if (options.threads !== undefined) {
    args.push('--threads', String(options.threads));
  }
  const child = spawn(process.execPath, [process.argv[1], ...args], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-10_000);
  });
  // A Ctrl-C reaches both processes, once more does no harm; a signal to this one alone has to be passed on.
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', (code, signal) => {
      process.off('SIGINT', pass).off('SIGTERM', pass);
      if (code === 0) {
        done(undefined);
      } else if (code === INTERRUPTED) {
        done('stopped');
      } else if (signal) {
        done(`its process was ended by ${signal}, perhaps for lack of memory`);
      } else {
        done(errors.trim().split('\n').at(-1) ?? `exit code ${code}`);
      }
    });
  });
}

async function workOnCell(folder: string, options: CellOptions): Promise<void> {
  const { startEngine } = await import('../engines/index.js');
  const { readResult, runCell } = await import('../training/comparison/cell.js');
  const controller = new AbortController();
  process.on('SIGINT', () => controller.abort()).on('SIGTERM', () => controller.abort());
  // Killed, the experiment closes this pipe: a cell must not go on beside the one that takes its place.
  process.stdin.on('end', () => process.exit(INTERRUPTED)).resume();
  // The cell's process of an experiment that was killed ends after its step.
  const release = await lockFolder(folder, PATIENCE);
  const engine = await startEngine(options.device, { threads: options.threads });
  try {
    await runCell(folder, options.folders, controller.signal);
  } finally {
    await engine.stop();
    release();
  }
  if (!readResult(folder)) {
    process.exitCode = INTERRUPTED;
  }
}
