// Makes Node.js load tfjs's packages several times as fast. They are CommonJS: to import their names, Node.js parses a
// megabyte of source first. Here the compiled modules import them as #tfjs-core and #tfjs-backend-cpu, which package.json
// leads to the two small modules that this writes, and for bundlers to the packages themselves.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const dist = join(import.meta.dirname, '..', 'dist');
const PACKAGES = ['tfjs-core', 'tfjs-backend-cpu'];

for (const name of PACKAGES) {
  const exported = Object.keys(require(`@tensorflow/${name}`)).filter((key) => key !== 'default');
  writeFileSync(
    join(dist, `${name}.js`),
    `import { createRequire } from 'node:module';\n\n` +
      `export const {\n  ${exported.join(',\n  ')},\n} = createRequire(import.meta.url)('@tensorflow/${name}');\n`,
  );
}

const imports = new RegExp(`(from |import )(['"])@tensorflow/(${PACKAGES.join('|')})\\2`, 'g');
for (const path of readdirSync(dist, { recursive: true })) {
  if (path.endsWith('.js')) {
    const code = readFileSync(join(dist, path), 'utf8');
    writeFileSync(join(dist, path), code.replaceAll(imports, "$1'#$3'"));
  }
}
