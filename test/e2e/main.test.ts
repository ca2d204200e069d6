import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runCli } from './cli.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

test('--version prints the version of package.json', async () => {
  expect(await runCli(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('--help goes to standard output with examples', async () => {
  const { code, stdout, stderr } = await runCli(['--help']);
  expect(code).toBe(0);
  expect(stdout).toContain('Usage: protein-lm');
  expect(stdout).toContain('Examples:');
  expect(stderr).toBe('');
});

test('wrong usage is one line and exits with 2', async () => {
  expect(await runCli(['--no-such-option'])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: "error: unknown option '--no-such-option' (see protein-lm --help)\n",
  });
});

test.each([
  [[], 'Usage: protein-lm'],
  [['no-such-command'], "error: unknown command 'no-such-command' (see protein-lm --help)\n"],
  [
    ['doctor', '--threads', 'many'],
    "error: option '--threads <n>' argument 'many' is invalid. A number is needed. (see protein-lm doctor --help)\n",
  ],
  [['doctor', '--out', 'engines.xlsx'], 'error: --out engines.xlsx: the extension says no format'],
])('wrong usage %j says what to do', async (args, message) => {
  const { code, stdout, stderr } = await runCli(args);
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toContain(message);
});
