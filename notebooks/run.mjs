// Runs the notebooks from top to bottom, as a reader would: in a folder of their own with protein-lm installed from its
// packed tarball. `node notebooks/run.mjs` checks them; `--write` also puts the results into the notebooks here.
// PROTEIN_LM_ASSAY is for the one on scores; with --write it is left out: the assay's values are not ours to publish.
// Needs Jupyter's nbconvert; where it is missing, says so and does nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TSLAB = 'tslab@1.0.22';
const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..');
const write = process.argv.includes('--write');
if (write) {
  delete process.env.PROTEIN_LM_ASSAY;
}

if (spawnSync('jupyter', ['nbconvert', '--version']).status !== 0) {
  console.log('skipped: notebooks (jupyter nbconvert is missing; Debian: apt-get install jupyter-nbconvert)');
  process.exit(0);
}

const work = mkdtempSync(join(tmpdir(), 'notebooks-'));
const npm = (args, cwd) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
try {
  const tarball = npm(['pack', '--silent', '--ignore-scripts', '--pack-destination', work], root)
    .trim()
    .split('\n')
    .at(-1);
  writeFileSync(join(work, 'package.json'), '{ "private": true }\n');
  npm(['install', '--silent', '--no-audit', '--no-fund', join(work, tarball), TSLAB], work);

  const kernel = join(work, 'jupyter', 'kernels', 'tslab');
  mkdirSync(kernel, { recursive: true });
  const argv = [join(work, 'node_modules', '.bin', 'tslab'), 'kernel', '--config-path', '{connection_file}'];
  writeFileSync(
    join(kernel, 'kernel.json'),
    JSON.stringify({ argv, display_name: 'TypeScript', language: 'typescript' }),
  );

  cpSync(join(root, 'datasets'), join(work, 'datasets'), { recursive: true });
  const folder = join(work, 'notebooks');
  mkdirSync(folder);
  // In the order of their numbers: the first trains the model that the others use.
  for (const name of readdirSync(here)
    .filter((file) => file.endsWith('.ipynb'))
    .sort()) {
    copyFileSync(join(here, name), join(folder, name));
    const started = performance.now();
    execFileSync(
      'jupyter',
      [
        'nbconvert',
        '--to',
        'notebook',
        '--execute',
        '--inplace',
        '--ExecutePreprocessor.timeout=600',
        '--ExecutePreprocessor.startup_timeout=300',
        name,
      ],
      {
        cwd: folder,
        stdio: ['ignore', 'inherit', 'pipe'],
        env: { ...process.env, JUPYTER_PATH: join(work, 'jupyter') },
      },
    );
    console.log(`${name}: ${((performance.now() - started) / 1000).toFixed(0)} s`);
    if (write) {
      writeFileSync(join(here, name), clean(readFileSync(join(folder, name), 'utf8')));
    }
  }
} catch (error) {
  if (error.stderr) {
    process.stderr.write(error.stderr);
  }
  console.error(error.message.split('\n')[0]);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Leaves out times of execution, which change with every run. */
function clean(text) {
  const notebook = JSON.parse(text);
  for (const cell of notebook.cells) {
    cell.metadata = {};
  }
  return `${JSON.stringify(notebook, null, 1)}\n`;
}
