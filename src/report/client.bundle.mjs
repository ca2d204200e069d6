// Writes pageScript.js beside this file: the script of a report's page (client/), in one file.
import { join } from 'node:path';
import { build } from 'rolldown';

await build({
  input: join(import.meta.dirname, 'client', 'main.ts'),
  tsconfig: join(import.meta.dirname, 'client', 'tsconfig.json'),
  output: { file: join(import.meta.dirname, 'pageScript.js'), comments: false },
  logLevel: 'warn',
});
