// npm run build: compiles src into dist, with what is bundled for it. Runs this Node.js alone, no shell and no npm.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const cwd = join(import.meta.dirname, '..');
const node = (...args) => execFileSync(process.execPath, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });

rmSync(join(cwd, 'dist'), { recursive: true, force: true });
node('src/engines/gradients.bundle.mjs');
node('src/report/client.bundle.mjs');
node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
node('src/fastImports.build.mjs');
