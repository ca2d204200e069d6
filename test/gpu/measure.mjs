// Everything that is to be known of the webgpu engine on a GPU, in one run of at most eight minutes:
//
//   npm run build && node test/gpu/measure.mjs [--golden FOLDER] [--fasta FILE] [--peer torch_peer.py] [--small]
//
// In this order: do the golden models agree; does the loss of 200 steps of performer-36 fall as on the CPU; tokens per
// second of training and of inference, at 1024 and at 8192 tokens, beside PyTorch's on the same GPU; products alone at
// the model's sizes; and where a step's time goes. Prints Markdown. --small: sizes that a software GPU takes, to try
// the script itself. What is not given, or not there, is left out by name.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const { values: options } = parseArgs({
  options: {
    golden: { type: 'string' },
    fasta: { type: 'string' },
    peer: { type: 'string' },
    small: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '8' },
  },
});
const deadline = performance.now() + Number(options.minutes) * 60_000;
const remaining = () => (deadline - performance.now()) / 1000;
const { small } = options;
const root = new URL('../../', import.meta.url);
const load = (file) => import(new URL(`dist/${file}.js`, root));
const bin = new URL('bin/protein-lm', root).pathname;
const run = promisify(execFile);
const temporary = mkdtempSync(join(tmpdir(), 'protein-lm-gpu-'));

// A software GPU has its matrix units used only where it is asked to.
const precisions = ['f32', small ? 'f16' : 'auto'];
const print = (line = '') => process.stdout.write(`${line}\n`);
const row = (...cells) => print(`| ${cells.join(' | ')} |`);
function heading(title, ...columns) {
  print(`\n## ${title}\n`);
  row(...columns);
  row(...columns.map(() => '---'));
}
const left = (what, why) => print(`\nLeft out: ${what} (${why}).`);

await load('engines/gradients');
const tf = createRequire(import.meta.url)('@tensorflow/tfjs-core');
const engines = await load('engines/index');
const startEngine = (device, { precision = small ? 'f32' : 'auto' } = {}) => engines.startEngine(device, { precision });
const { createModel } = await load('model/model');
const { loadModel } = await load('model/files');
const { readSafetensors } = await load('model/safetensors');
const { newConfig, PRESETS } = await load('model/config');
const { linear } = await load('ops/linear');
const { Optimizer } = await load('training/optimizer');
const { PAPER_OPTIMIZER } = await load('training/recipe');
const { trainingStep } = await load('training/step');

function relativeDifference(actual, expected, rows, width) {
  let largest = 0;
  let difference = 0;
  for (const r of rows)
    for (let i = r * width; i < (r + 1) * width; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      const gap = Math.abs(actual[i] - expected[i]);
      difference = Math.max(difference, Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap);
    }
  return difference / largest;
}

/** Logits of every golden model, in 32 and in 16 bits. */
async function goldens() {
  heading('Goldens', 'precision', 'model', 'difference of logits', 'allowed');
  let wrong = 0;
  for (const precision of precisions) {
    const engine = await startEngine('webgpu', { precision });
    const allowed = engine.description.includes('f16 products') ? 0.01 : 1e-4;
    for (const name of readdirSync(options.golden)) {
      const folder = join(options.golden, name);
      if (!existsSync(join(folder, 'model.safetensors'))) continue;
      const model = await loadModel(folder);
      const { tensors } = readSafetensors(join(folder, 'expected.safetensors'));
      const { data, shape } = tensors.get('input_ids');
      const logits = tf.tidy(() => model.logits(tf.tensor2d(data, shape, 'int32')));
      const kept = [...data.keys()].filter((i) => data[i] !== model.config.pad_token_id);
      const difference = relativeDifference(
        await logits.data(),
        tensors.get('logits').data,
        kept,
        model.config.vocab_size,
      );
      row(precision, name, difference.toExponential(1), allowed);
      if (!(difference <= allowed)) wrong++;
      logits.dispose();
      model.dispose();
    }
    await engine.stop();
  }
  if (wrong > 0) throw new Error(`${wrong} golden models disagree: nothing below would mean anything`);
}

/** Losses of the same steps on both engines. */
async function lossCurves() {
  const steps = small ? 6 : 200;
  const length = small ? 64 : 1024;
  const preset = small ? 'performer-tiny' : 'performer-36';
  const losses = {};
  const devices = ['webgpu', 'cpu'];
  // At the same time: one computes on the GPU, the other on the processor.
  await Promise.all(
    devices.map(async (device) => {
      const out = join(temporary, device);
      const sizes = ['--preset', preset, '--length', `${length}`, '--tokens-per-batch', `${length}`, '--dropout', '0'];
      const limits = ['--steps', `${steps}`, '--minutes', `${Math.max(0.5, remaining() / 60 - 4).toFixed(1)}`];
      const log = ['--log-every', '1', '--warmup', '20', '--quiet', '--seed', '1'];
      const args = [
        'pretrain',
        '--fasta',
        options.fasta,
        '--out',
        out,
        '--device',
        device,
        ...sizes,
        ...limits,
        ...log,
      ];
      // pack.sh leaves minified files out, and with them what draws the run's report, its last step.
      await run(process.execPath, [bin, ...args], {
        env: { ...process.env, XDG_CACHE_HOME: join(temporary, device, '..', `cache-${device}`) },
      }).catch((error) => {
        if (!existsSync(join(out, 'model.safetensors'))) throw error;
      });
      const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      losses[device] = lines.map(({ loss }) => loss).filter((loss) => loss !== undefined);
    }),
  );
  const count = Math.min(losses.webgpu.length, losses.cpu.length);
  heading(`Loss of ${preset}, ${length} tokens, ${count} steps`, 'steps', 'webgpu', 'cpu', 'difference');
  const mean = (values, from, to) => values.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  const part = Math.max(1, Math.floor(count / 5));
  for (let from = 0; from + part <= count; from += part) {
    const [a, b] = devices.map((device) => mean(losses[device], from, from + part));
    row(`${from + 1}-${from + part}`, a.toFixed(4), b.toFixed(4), `${((a / b - 1) * 100).toFixed(2)} %`);
  }
}

/** Tokens per second on random tokens, and the buffers' peak. */
async function rates() {
  const preset = small ? 'performer-tiny' : 'performer-36';
  const shapes = small
    ? [[64, 2]]
    : [
        [1024, 32],
        [8192, 4],
      ];
  heading(`Rates of ${preset}`, 'who', 'what', 'batch x length', 'tokens/s', 'GPU memory, GiB');
  for (const precision of precisions)
    for (const [length, batch] of shapes) {
      const engine = await startEngine('webgpu', { precision });
      const name = `webgpu ${engine.description.includes('f16 products') ? 'f16' : 'f32'}`;
      const model = createModel(newConfig({ ...PRESETS[preset], dropout: 0, length }), 0);
      const optimizer = new Optimizer(model.trainable, PAPER_OPTIMIZER);
      const ids = Int32Array.from({ length: batch * length }, (_, i) => 4 + ((i * 7919) % 20));
      const count = Math.floor(0.15 * ids.length);
      const positions = Int32Array.from({ length: count }, (_, i) => Math.floor((i * ids.length) / count));
      const pass = { ids, batch, length, positions, labels: positions.map((i) => ids[i]) };
      const work = {
        training: () => trainingStep(model, optimizer, [pass], { learningRate: 1e-4, seed: 0 }),
        inference: async () => {
          const logits = tf.tidy(() => tf.sum(model.logits(tf.tensor2d(ids, [batch, length], 'int32'))));
          await logits.data();
          logits.dispose();
        },
      };
      for (const [what, step] of Object.entries(work)) {
        for (let i = 0; i < 2; i++) await step();
        const start = performance.now();
        let steps = 0;
        let pending = Promise.resolve();
        // As training does: the figures of a step are waited for while the next one computes.
        while (steps < 2 || performance.now() - start < (small ? 500 : 5000)) {
          const next = step();
          await pending;
          pending = next;
          steps++;
        }
        await pending;
        const rate = (steps * batch * length * 1000) / (performance.now() - start);
        row(
          name,
          what,
          `${batch} x ${length}`,
          Math.round(rate),
          (tf.memory().numBytesAllocatedInGPU / 2 ** 30).toFixed(2),
        );
      }
      optimizer.dispose();
      model.dispose();
      await engine.stop();
    }
  if (!options.peer) return left("PyTorch's rates", 'no --peer');
  const configurations = small ? ['tiny'] : ['paper', 'paper-long'];
  for (const mode of [['fp32'], ['bf16'], ['bf16', '--compile']])
    for (const forward of [[], ['--forward']]) {
      if (remaining() < 60) return left(`PyTorch ${mode.join(' ')}`, 'out of time');
      const args = [
        options.peer,
        '--device',
        small ? 'cpu' : 'cuda',
        '--dtype',
        ...mode,
        ...forward,
        '--seconds',
        '4',
        '--config',
        ...configurations,
      ];
      try {
        const { stdout } = await run('python3', args, { timeout: Math.floor(remaining() * 1000) });
        for (const line of stdout.trim().split('\n')) {
          const { batch, length, tokens_per_second: rate, gpu_peak_gib: memory } = JSON.parse(line);
          row(
            `PyTorch ${mode.join(' ')}`,
            forward.length ? 'inference' : 'training',
            `${batch} x ${length}`,
            rate,
            memory ?? '',
          );
        }
      } catch (error) {
        left(
          `PyTorch ${mode.join(' ')}`,
          String(error.stderr || error.message)
            .trim()
            .split('\n')
            .at(-1),
        );
      }
    }
}

/** The matrix product alone, at the sizes of the model's layers, in TFLOP/s by the GPU's own clock. */
async function products() {
  const rows = small ? 64 : 32768;
  const sizes = small
    ? [[64, 64]]
    : [
        [512, 1536],
        [512, 512],
        [512, 1024],
        [1024, 512],
      ];
  heading('Matrix products alone', 'rows x inputs x outputs', 'TFLOP/s', 'PyTorch bf16');
  const engine = await startEngine('webgpu');
  for (const [inputs, outputs] of sizes) {
    const x = tf.randomNormal([rows, inputs]);
    const w = tf.randomNormal([outputs, inputs]);
    const compute = async () => {
      for (let i = 0; i < 20; i++) linear(x, w).dispose();
    };
    await tf.backend().measureKernels(compute);
    const [{ flops, milliseconds }] = await tf.backend().measureKernels(compute);
    row(
      `${rows} x ${inputs} x ${outputs}`,
      (flops / milliseconds / 1e9).toPrecision(3),
      await torchProduct(rows, inputs, outputs),
    );
    tf.dispose([x, w]);
  }
  await engine.stop();
}

async function torchProduct(rows, inputs, outputs) {
  const code = `
import torch
x, w = (torch.randn(*s, device="cuda", dtype=torch.bfloat16) for s in ((${rows}, ${inputs}), (${outputs}, ${inputs})))
begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
for i in range(40):
    if i == 20: begin.record()
    torch.nn.functional.linear(x, w)
end.record(); torch.cuda.synchronize()
print(20 * 2 * ${rows} * ${inputs} * ${outputs} / begin.elapsed_time(end) / 1e9)`;
  if (small || !options.peer) return '';
  return run('python3', ['-c', code]).then(
    ({ stdout }) => Number(stdout).toPrecision(3),
    () => '',
  );
}

async function profile() {
  const sizes = small
    ? ['--preset', 'performer-tiny', '--batch', '1', '--length', '64']
    : ['--batch', '32', '--length', '1024'];
  const { stdout, stderr } = await run(process.execPath, [bin, 'profile', ...sizes, '--format', 'csv']);
  print(`\n## Profile\n\n${stderr.trim().split('\n').at(-1)}\n\n\`\`\`\n${stdout.trim()}\n\`\`\``);
}

try {
  const engine = await startEngine('webgpu');
  print(`# ${engine.description}\n\n${new Date().toISOString()}, Node.js ${process.version}`);
  await engine.stop();
  if (options.golden) await goldens();
  else left('the goldens', 'no --golden');
  if (options.fasta) await lossCurves();
  else left('the loss curves', 'no --fasta');
  await rates();
  await products();
  await profile();
} catch (error) {
  process.stderr.write(`error: ${error.stderr?.trim() || error.message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
process.exit();
