import type { Command } from 'commander';
import { createProgress, type Progress } from './progress.js';

/** Options that name a model. */
const NAMING = ['model', 'init', 'from', 'adapter'];

/**
 * Lets a command's options name models of Hugging Face's hub: before it begins, `owner/name` becomes the folder in the
 * cache. Adds `--download`, which gets what is not there yet.
 */
export function addModelNames(command: Command): void {
  const naming = command.options.map((option) => option.attributeName()).filter((name) => NAMING.includes(name));
  if (naming.length === 0) {
    return;
  }
  command.option('--download', "get a model named as on Hugging Face's hub (owner/name) that is not in its cache");
  command.hook('preAction', async () => {
    const { download = false, quiet } = command.opts<{ download?: boolean; quiet?: boolean }>();
    for (const name of naming) {
      const given: unknown = command.getOptionValue(name);
      if (given === undefined) {
        continue;
      }
      const located = await Promise.all(
        [given as string | string[]].flat().map((model) => locate(model, download, quiet)),
      );
      command.setOptionValueWithSource(
        name,
        Array.isArray(given) ? located : located[0],
        command.getOptionValueSource(name) ?? 'cli',
      );
    }
  });
}

async function locate(name: string, download: boolean, quiet?: boolean): Promise<string> {
  const { findInCache, hubModel, locateModel } = await import('../formats/hub.js');
  const { existsSync } = await import('node:fs');
  const model = existsSync(name) ? undefined : hubModel(name);
  return download && model && !findInCache(model) ? downloadShown(name, { quiet }) : locateModel(name);
}

/** Downloads a model with a progress bar. */
export async function downloadShown(name: string, options: { revision?: string; quiet?: boolean }): Promise<string> {
  const { downloadModel } = await import('../formats/hubDownload.js');
  let progress: Progress | undefined;
  const megabytes = (bytes: number) => Math.round(bytes / 1e4) / 100;
  const folder = await downloadModel(name, {
    revision: options.revision,
    onProgress: (done, total, file) => {
      progress ??= createProgress({
        label: 'download',
        total: megabytes(total),
        start: megabytes(done),
        unit: 'MB',
        quiet: options.quiet,
      });
      progress.update(megabytes(done), file);
    },
  });
  progress?.end();
  return folder;
}
