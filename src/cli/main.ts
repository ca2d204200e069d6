import { Command } from 'commander';

/** Runs the command line. `argv` is process.argv. */
export async function main(argv: string[]): Promise<void> {
  await new Command('protein-lm').parseAsync(argv);
}
