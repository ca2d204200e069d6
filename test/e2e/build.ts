import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Builds dist/ once before the tests: those of the command line run what a user installs. */
export default function setup(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  execFileSync(process.execPath, ['src/build.mjs'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
}
