// npm's prepare step: builds dist, where what builds it is installed (it is not after npm ci --omit=dev).
import { createRequire } from 'node:module';

const { resolve } = createRequire(import.meta.url);
try {
  resolve('typescript/package.json');
  resolve('rolldown/package.json');
} catch {
  console.log('protein-lm: dist is left as it is: what builds it is left out of this installation');
  process.exit(0);
}
await import('./build.mjs');
