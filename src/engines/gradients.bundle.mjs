// Writes tfjsGradients.js beside this file: the gradients of tfjs's operations, and the methods of tensors (x.reshape)
// that some of them call, in one file that Node.js loads. They come with tfjs-core as modules that only a bundler can
// read. Operations that tfjs-core exports are taken from the installed package itself; the rest comes along.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { build } from 'rolldown';

const PACKAGE = '@tensorflow/tfjs-core';
const REGISTERING = ['public/chained_ops/register_all_chained_ops.js', 'register_all_gradients.js'];
const sources = join(dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`)), 'dist');

/** The module `path` of tfjs-core as one that takes its values from the installed package, where that has them all. */
function fromPackage(path) {
  if (path === join(sources, 'engine.js')) {
    return `import { engine } from '${PACKAGE}';\nexport const ENGINE = engine();\n`;
  }
  const code = readFileSync(path, 'utf8');
  const declared = Array.from(code.matchAll(/^export (?:const|function|class) (\w+)/gm), ([, name]) => name);
  const known = declared.length > 0 && declared.every((name) => Object.hasOwn(tf, name));
  return known && !/^export (?:\{|\*)/m.test(code)
    ? `export { ${declared.join(', ')} } from '${PACKAGE}';\n`
    : undefined;
}

await build({
  input: 'gradients',
  external: [PACKAGE],
  plugins: [
    {
      name: 'tfjs-core',
      resolveId: (path) => (path === 'gradients' ? path : undefined),
      load: (path) => {
        if (path === 'gradients') {
          return REGISTERING.map((name) => `import ${JSON.stringify(join(sources, name))};\n`).join('');
        }
        return path.startsWith(sources + sep) ? fromPackage(path) : undefined;
      },
    },
  ],
  // tfjs-core says of its modules that loading them changes nothing; these register.
  treeshake: { moduleSideEffects: (path) => /register_all|chained_ops/.test(path) },
  output: {
    file: join(import.meta.dirname, 'tfjsGradients.js'),
    banner: `/** @license Out of ${PACKAGE} ${tf.version_core}. Copyright Google LLC. Apache License, Version 2.0. */`,
    comments: false,
  },
  logLevel: 'warn',
});
