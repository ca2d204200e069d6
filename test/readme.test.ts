import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

// Inside the package its own name leads to what it exports, as it does where it is installed.
const root = join(import.meta.dirname, '..');
mkdirSync(join(root, 'build'), { recursive: true });
const folder = mkdtempSync(join(root, 'build', 'readme-'));
const snippets = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  ([, code]) => code,
);

beforeAll(() => {
  writeFileSync(
    join(folder, 'model.mjs'),
    `import { startEngine } from 'protein-lm/engines';
import { createModel, newConfig, PRESETS, saveModel } from 'protein-lm/model';
await startEngine('cpu');
await saveModel(createModel(newConfig({ ...PRESETS['performer-tiny'] }), 1), 'runs/first');\n`,
  );
  execFileSync(process.execPath, ['model.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  writeFileSync(
    join(folder, 'tsconfig.json'),
    '{ "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2023", "types": ["node"], "skipLibCheck": true } }',
  );
  for (const [i, code] of snippets.entries()) {
    writeFileSync(join(folder, `snippet-${i}.mts`), code);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the snippets of the README compile and run', () => {
  expect(snippets.length).toBeGreaterThan(0);
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], { cwd: folder });
  for (const i of snippets.keys()) {
    const output = execFileSync(process.execPath, [`snippet-${i}.mjs`], { cwd: folder, encoding: 'utf8' });
    expect(output).not.toBe('');
  }
});
