import { Command } from 'commander';
import { downloadShown } from './modelNames.js';
import { addCommonOptions, addExamples, type CommonOptions } from './options.js';

interface DownloadOptions extends Pick<CommonOptions, 'quiet'> {
  revision?: string;
}

/** `protein-lm download`: a model of Hugging Face's hub into its cache. */
export function downloadCommand(): Command {
  const command = new Command('download')
    .description(
      "Get a model from Hugging Face's hub into its cache, shared with Hugging Face's own programs (HF_HOME), and print " +
        'its folder. A download that was stopped goes on; every file is checked. HF_ENDPOINT names another hub, HF_TOKEN ' +
        'who asks. Every option that names a model then takes its name.',
    )
    .argument('<name>', 'owner/name, such as facebook/esm2_t12_35M_UR50D')
    .option('--revision <name>', 'branch, tag or commit (default: main)');
  addCommonOptions(command);
  command.action(async (name: string, options: DownloadOptions) => {
    process.stdout.write(`${await downloadShown(name, options)}\n`);
  });
  return addExamples(
    command,
    'protein-lm download facebook/esm2_t12_35M_UR50D',
    'protein-lm score protein.fasta --model facebook/esm2_t12_35M_UR50D --out scores.csv',
  );
}
