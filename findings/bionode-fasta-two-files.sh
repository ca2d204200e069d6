#!/usr/bin/env bash
# bionode-fasta 0.5.6 in its documented mode of many file names (`filenameMode`) ends its output when the first file has
# ended; what other files still have is raised as "stream.push() after EOF". Two files that are written to it at once
# come interleaved and lose records: seen, a c b of a b and c d. One file at a time works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent bionode-fasta@0.5.6 >/dev/null 2>&1
printf '>a\nMK\n>b\nTV\n' >one.fasta
printf '>c\nMR\n>d\nLL\n' >two.fasta
cat >check.cjs <<'JS'
const fasta = require('bionode-fasta');
const read = (files) =>
  new Promise((resolve) => {
    const seen = { ids: [], errors: new Set() };
    const stream = fasta.obj({ filenameMode: true });
    stream.on('data', ({ id }) => seen.ids.push(id));
    stream.on('error', ({ message }) => seen.errors.add(message));
    for (const file of files) {
      stream.write(file);
    }
    setTimeout(() => resolve(seen), 1500);
  });
(async () => {
  const both = await read(['one.fasta', 'two.fasta']);
  const one = await read(['one.fasta']);
  console.log('two files:', both.ids.join(' ') || 'nothing', '|', [...both.errors].join('; '), '| one file:', one.ids.join(' '));
  process.exit(both.ids.length < 4 && [...both.errors].some((e) => /after EOF/.test(e)) && one.ids.length === 2 ? 0 : 1);
})();
JS
node check.cjs
