// Everything that is to be known of the webgpu engine on a GPU, in one run of at most eight minutes:
//
//   npm run build && node test/gpu/measure.mjs [--golden FOLDER] [--fasta FILE] [--peer torch_peer.py] [--out FILE.json]
//
// In this order: do the golden models agree; 200 steps of performer-36 on real data, whose losses are compared with the
// same steps on the CPU, which take until the end; tokens per second of training and of inference, at 1024 and at 8192
// tokens, beside PyTorch's on the same GPU; products alone at the model's sizes; and where a step's time goes. Prints
// Markdown; --out keeps the same as JSON, after each part. Each part is a process of its own with a time limit: what
// fails, is late, or is not given is left out by name, and the rest goes on. --small: sizes that a software GPU takes,
// to try the script itself. --parts a,b: only these.
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const { values: options } = parseArgs({
  options: {
    golden: { type: 'string' },
    fasta: { type: 'string' },
    peer: { type: 'string' },
    out: { type: 'string' },
    small: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '8' },
    parts: { type: 'string' },
    // Of a part's own process: which it is, and where its tables go.
    part: { type: 'string' },
    tables: { type: 'string' },
  },
});
const { small } = options;
const root = new URL('../../', import.meta.url);
const load = (file) => import(new URL(`dist/${file}.js`, root));
const bin = fileURLToPath(new URL('bin/protein-lm', root));
const run = promisify(execFile);
const preset = small ? 'performer-tiny' : 'performer-36';
// A software GPU has its matrix units used only where it is asked to.
const precisions = ['f32', small ? 'f16' : 'auto'];

// Tables, printed row by row and kept for the JSON.
const tables = {};
const print = (line = '') => process.stdout.write(`${line}\n`);
function table(name, title, ...columns) {
  print(`\n## ${title}\n\n| ${columns.join(' | ')} |\n| ${columns.map(() => '---').join(' | ')} |`);
  tables[name] = [];
  return (...cells) => {
    print(`| ${cells.join(' | ')} |`);
    tables[name].push(Object.fromEntries(columns.map((column, i) => [column, cells[i]])));
    if (options.tables) {
      writeFileSync(options.tables, JSON.stringify(tables));
    }
  };
}
const reasonOf = (error) => {
  if (error.killed) {
    return 'out of time';
  }
  const lines = String(error.stderr || error.message)
    .trim()
    .split('\n');
  return lines.findLast((line) => line !== '' && !line.startsWith('Warning: '));
};

/** What the parts that compute with the engine themselves need of it. */
async function library() {
  await load('engines/gradients');
  const tf = createRequire(import.meta.url)('@tensorflow/tfjs-core');
  const { startEngine } = await load('engines/index');
  return { tf, start: (precision = small ? 'f32' : 'auto') => startEngine('webgpu', { precision }) };
}
const halfOf = (engine) => engine.description.includes('f16 products');

/** Logits of every golden model, in 32 and in 16 bits. */
async function goldens() {
  const { tf, start } = await library();
  const { loadModel } = await load('model/files');
  const { readSafetensors } = await load('model/safetensors');
  const row = table('goldens', 'Goldens', 'precision', 'model', 'difference of logits', 'allowed');
  let wrong = 0;
  for (const precision of precisions) {
    const engine = await start(precision);
    const allowed = halfOf(engine) ? 0.01 : 1e-4;
    for (const name of readdirSync(options.golden)) {
      const folder = join(options.golden, name);
      if (!existsSync(join(folder, 'model.safetensors'))) {
        continue;
      }
      const model = await loadModel(folder);
      const { tensors } = readSafetensors(join(folder, 'expected.safetensors'));
      const { data, shape } = tensors.get('input_ids');
      const logits = tf.tidy(() => model.logits(tf.tensor2d(data, shape, 'int32')));
      const kept = [...data.keys()].filter((i) => data[i] !== model.config.pad_token_id);
      const expected = tensors.get('logits').data;
      const difference = relativeDifference(await logits.data(), expected, kept, model.config.vocab_size);
      row(halfOf(engine) ? 'f16' : 'f32', name, Number(difference.toExponential(1)), allowed);
      if (!(difference <= allowed)) {
        wrong++;
      }
      logits.dispose();
      model.dispose();
    }
    await engine.stop();
  }
  if (wrong > 0) {
    throw new Error(`${wrong} golden models disagree: nothing else here means anything`);
  }
}

function relativeDifference(actual, expected, rows, width) {
  let largest = 0;
  let difference = 0;
  for (const r of rows) {
    for (let i = r * width; i < (r + 1) * width; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      const gap = Math.abs(actual[i] - expected[i]);
      difference = Math.max(difference, Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap);
    }
  }
  return difference / largest;
}

/** Tokens per second on random tokens, and the most bytes of buffers at once. */
async function rates() {
  const { tf, start } = await library();
  const { createModel } = await load('model/model');
  const { newConfig, PRESETS } = await load('model/config');
  const { Optimizer } = await load('training/optimizer');
  const { PAPER_OPTIMIZER } = await load('training/recipe');
  const { trainingStep } = await load('training/step');
  const columns = ['who', 'what', 'batch x length', 'tokens/s', 'GPU memory, GiB'];
  const row = table('rates', `Rates of ${preset}`, ...columns);
  // The most telling ones first.
  for (const precision of precisions.toReversed()) {
    for (const what of ['training', 'inference']) {
      for (const [length, batch] of shapes()) {
        const engine = await start(precision);
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
        const step = work[what];
        for (let i = 0; i < 2; i++) {
          await step();
        }
        const begun = performance.now();
        let steps = 0;
        let pending = Promise.resolve();
        // As training does: the figures of a step are waited for while the next one computes.
        while (steps < 2 || performance.now() - begun < (small ? 500 : 4000)) {
          const next = step();
          await pending;
          pending = next;
          steps++;
        }
        await pending;
        const rate = Math.round((steps * batch * length * 1000) / (performance.now() - begun));
        const memory = Number((tf.backend().bufferManager.mostAllocated / 2 ** 30).toFixed(2));
        row(`webgpu ${halfOf(engine) ? 'f16' : 'f32'}`, what, `${batch} x ${length}`, rate, memory);
        optimizer.dispose();
        model.dispose();
        await engine.stop();
      }
    }
  }
}

function shapes() {
  if (small) {
    return [[64, 2]];
  }
  return [
    [1024, 32],
    [8192, 4],
  ];
}

// A layer's products, forward and backward, by the names of our kernels and as PyTorch computes them.
const PRODUCTS = {
  Linear: 'torch.nn.functional.linear(x, w)',
  LinearGradInput: 'dy @ w',
  LinearGradWeight: 'dy.T @ x',
};

/** The matrix products alone, at the sizes of the model's layers, in TFLOP/s by the GPU's own clock. */
async function products() {
  const { tf, start } = await library();
  const { linear } = await load('ops/linear');
  const rows = small ? 64 : 32768;
  const paper = [
    [512, 1536],
    [512, 512],
    [512, 1024],
    [1024, 512],
  ];
  const sizes = small ? [[64, 64]] : paper;
  const columns = ['rows x inputs x outputs', 'kernel', 'TFLOP/s', 'PyTorch bf16', 'share'];
  const row = table('products', 'Matrix products alone', ...columns);
  const engine = await start();
  for (const [inputs, outputs] of sizes) {
    const x = tf.randomNormal([rows, inputs]);
    const w = tf.randomNormal([outputs, inputs]);
    const dy = tf.randomNormal([rows, outputs]);
    const compute = async () => {
      for (let i = 0; i < 20; i++) {
        tf.dispose(tf.tidy(() => tf.grads(linear)([x, w], dy)));
      }
    };
    await tf.backend().launcher.measureKernels(compute);
    const times = await tf.backend().launcher.measureKernels(compute);
    const torch = await torchProducts(rows, inputs, outputs);
    for (const kernel of Object.keys(PRODUCTS)) {
      const { flops, milliseconds } = times.find(({ name }) => name === kernel);
      const rate = flops / milliseconds / 1e9;
      const peer = torch?.[kernel];
      const share = peer ? `${Math.round((100 * rate) / peer)} %` : '';
      row(`${rows} x ${inputs} x ${outputs}`, kernel, Number(rate.toPrecision(3)), peer ?? '', share);
    }
    tf.dispose([x, w, dy]);
  }
  await engine.stop();
}

async function torchProducts(rows, inputs, outputs) {
  if (small || !options.peer) {
    return undefined;
  }
  const code = `
import json, torch
x, w, dy = (torch.randn(*s, device="cuda", dtype=torch.bfloat16) for s in ((${rows}, ${inputs}), (${outputs}, ${inputs}), (${rows}, ${outputs})))
def rate(f):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for i in range(40):
        if i == 20: begin.record()
        f()
    end.record(); torch.cuda.synchronize()
    return round(20 * 2 * ${rows} * ${inputs} * ${outputs} / begin.elapsed_time(end) / 1e9, 1)
print(json.dumps({${Object.entries(PRODUCTS).map(([name, f]) => `"${name}": rate(lambda: ${f})`)}}))`;
  return run('python3', ['-c', code], { timeout: 60_000 }).then(
    ({ stdout }) => JSON.parse(stdout),
    () => undefined,
  );
}

const OWN_PROCESS = { goldens, rates, products };

/** The whole: parts one after the other, each within its time. */
async function main() {
  const deadline = performance.now() + Number(options.minutes) * 60_000;
  const remaining = () => (deadline - performance.now()) / 1000;
  const temporary = mkdtempSync(join(tmpdir(), 'protein-lm-gpu-'));
  const results = { date: new Date().toISOString(), node: process.version, device: undefined, small, leftOut: {} };
  const keep = () => {
    if (options.out) {
      writeFileSync(options.out, `${JSON.stringify({ ...results, ...tables }, null, 1)}\n`);
    }
  };
  const leave = (what, why) => {
    print(`\nLeft out: ${what} (${why}).`);
    results.leftOut[what] = why;
  };
  let failed = false;
  const part = async (name, seconds, compute) => {
    if (options.parts && !options.parts.split(',').includes(name)) {
      return;
    }
    const limit = Math.floor(Math.min(seconds, remaining()));
    if (limit < 10) {
      return leave(name, 'out of time');
    }
    const begun = performance.now();
    try {
      await compute(1000 * limit);
    } catch (error) {
      failed = true;
      leave(name, reasonOf(error));
    }
    print(`\n<!-- ${name}: ${Math.round((performance.now() - begun) / 1000)} s -->`);
    keep();
  };
  /** A part of OWN_PROCESS: what it had found when it failed is kept. */
  const ownProcess = async (name, timeout) => {
    const file = join(temporary, `${name}.json`);
    const given = ['golden', 'peer'].flatMap((key) => (options[key] ? [`--${key}`, options[key]] : []));
    const args = [fileURLToPath(import.meta.url), ...given, ...(small ? ['--small'] : [])];
    try {
      await start(process.execPath, [...args, '--part', name, '--tables', file], { timeout, shown: true });
    } finally {
      if (existsSync(file)) {
        Object.assign(tables, JSON.parse(readFileSync(file, 'utf8')));
      }
    }
  };

  await part('device', 60, async (timeout) => {
    const args = ['doctor', '--format', 'json'];
    const { stdout } = await run(process.execPath, [bin, ...args], { timeout, killSignal: 'SIGKILL' });
    const engine = JSON.parse(stdout).find(({ device }) => device === 'webgpu');
    if (!engine.usable) {
      throw new Error(engine.reason);
    }
    results.device = engine.description;
    print(`# ${engine.description}\n\n${results.date}, Node.js ${process.version}`);
    print(`\nProducts by doctor: ${Math.round(engine.gflops)} GFLOP/s in f32, ${Math.round(engine.gflops_f16)} in f16`);
  });

  // Beside everything else, with four processors left to that: the same steps take the CPU minutes.
  const data = join(temporary, 'data');
  const threads = small ? 1 : Math.max(1, availableParallelism() - 4);
  let onCpu;
  if (options.fasta) {
    await part('data', 90, (timeout) =>
      run(process.execPath, [bin, 'data', 'build', options.fasta, '--out', data, '--quiet'], { timeout }),
    );
    if (existsSync(data)) {
      onCpu = pretrain('cpu', temporary, data, remaining(), threads).catch((error) => error);
    }
  } else {
    leave('loss', 'no --fasta');
  }

  if (options.golden) {
    await part('goldens', 90, (timeout) => ownProcess('goldens', timeout));
  } else {
    leave('goldens', 'no --golden');
  }
  if (onCpu) {
    await part('training', 100, (timeout) => pretrain('webgpu', temporary, data, timeout / 1000));
  }
  await part('rates', 150, (timeout) => ownProcess('rates', timeout));
  if (options.peer) {
    const row = table('peer', 'PyTorch', 'dtype', 'what', 'batch x length', 'tokens/s', 'GPU memory, GiB');
    for (const mode of [['bf16'], ['fp32']]) {
      for (const what of WORK) {
        await part('peer', 60, peer(row, mode, what));
      }
    }
    await part('products', 90, (timeout) => ownProcess('products', timeout));
    await part('profile', 60, profile(shapes()[0]));
    for (const what of WORK) {
      await part('peer', 90, peer(row, ['bf16', '--compile'], what));
    }
  } else {
    leave('PyTorch', 'no --peer');
    await part('products', 60, (timeout) => ownProcess('products', timeout));
    await part('profile', 60, profile(shapes()[0]));
  }
  if (!small) {
    await part('profile', 60, profile(shapes()[1]));
  }
  if (onCpu) {
    await part('loss', 480, async () => {
      const late = sleep(1000 * Math.max(0, remaining() - 5), undefined, { ref: false });
      await Promise.race([onCpu, late]);
      compareLosses(temporary, threads);
    });
  }
  keep();
  for (const child of children) {
    child.kill('SIGKILL');
  }
  rmSync(temporary, { recursive: true, force: true });
  process.exit(failed ? 1 : 0);
}

// Processes that run.
const children = new Set();

/** Runs a command; rejects with what it said where it fails or is late. */
function start(command, args, { timeout, shown = false, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', shown ? 'inherit' : 'ignore', 'pipe'], env });
    children.add(child);
    let stderr = '';
    let killed = false;
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    const timer = timeout && setTimeout(() => (killed = child.kill('SIGKILL')), timeout);
    child.on('error', reject).on('close', (code) => {
      clearTimeout(timer);
      children.delete(child);
      if (code === 0) {
        resolve();
      } else {
        reject(Object.assign(new Error(`it ended with ${code}`), { stderr, killed }));
      }
    });
  });
}

const STEPS = small ? 6 : 200;
const LENGTH = small ? 64 : 1024;

/** Trains for the same steps on a device: sequences of LENGTH, one a step, which is what a CPU takes in this time. */
function pretrain(device, temporary, data, seconds, threads) {
  const recipe = ['--preset', preset, '--length', `${LENGTH}`, '--tokens-per-batch', `${LENGTH}`, '--dropout', '0'];
  const limits = ['--steps', `${STEPS}`, '--warmup', '20', '--seed', '1'];
  const log = ['--log-every', '1', '--validation-sequences', '2', '--quiet'];
  const where = ['--data', data, '--out', join(temporary, device), '--device', device];
  const cores = threads ? ['--threads', `${threads}`] : [];
  const args = [bin, 'pretrain', ...where, ...recipe, ...limits, ...log, ...cores];
  return start(process.execPath, args, { timeout: 1000 * seconds });
}

/** Means of the losses over fifths of the steps that both devices have done. */
function compareLosses(temporary, threads) {
  const [gpu, cpu] = ['webgpu', 'cpu'].map((device) => {
    const lines = readFileSync(join(temporary, device, 'metrics.jsonl'), 'utf8').split('\n');
    // A process that was ended may have left half a line.
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line).loss);
  });
  const count = Math.min(gpu.length, cpu.length);
  const title = `Loss of ${preset}, ${LENGTH} tokens a step, ${count} steps, beside ${threads} threads of the CPU`;
  const row = table('loss', title, 'steps', 'webgpu', 'cpu', 'difference');
  const mean = (values, from, to) => values.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  const fifth = Math.max(1, Math.floor(count / 5));
  for (let from = 0; from + fifth <= count; from += fifth) {
    const [a, b] = [gpu, cpu].map((losses) => Number(mean(losses, from, from + fifth).toFixed(4)));
    row(`${from + 1}-${from + fifth}`, a, b, `${((a / b - 1) * 100).toFixed(2)} %`);
  }
  if (count < STEPS) {
    throw new Error(`of ${STEPS} steps, webgpu did ${gpu.length} and the CPU ${cpu.length}`);
  }
}

const WORK = ['training', 'inference'];

/** PyTorch's rates, added to the table of ours. */
const peer = (row, mode, what) => async (timeout) => {
  const where = [
    '--device',
    small ? 'cpu' : 'cuda',
    '--dtype',
    ...mode,
    ...(what === 'inference' ? ['--forward'] : []),
  ];
  const sizes = ['--seconds', small ? '0.5' : '4', '--config', ...(small ? ['tiny'] : ['paper', 'paper-long'])];
  const { stdout } = await run('python3', [options.peer, ...where, ...sizes], { timeout, killSignal: 'SIGKILL' });
  for (const line of stdout.trim().split('\n')) {
    const { batch, length, tokens_per_second: rate, gpu_peak_gib: memory } = JSON.parse(line);
    row(mode.join(' ').replace('fp32', 'fp32 (TF32)'), what, `${batch} x ${length}`, rate, memory ?? '');
  }
};

/** Where a training step's time goes. */
const profile =
  ([length, batch]) =>
  async (timeout) => {
    const sizes = ['--preset', preset, '--batch', `${batch}`, '--length', `${length}`];
    const args = [bin, 'profile', ...sizes, '--format', 'json'];
    const { stdout, stderr } = await run(process.execPath, args, { timeout, killSignal: 'SIGKILL' });
    const kernels = JSON.parse(stdout);
    const row = table(`profile ${batch} x ${length}`, `Profile, ${batch} x ${length}`, ...Object.keys(kernels[0]));
    for (const kernel of kernels) {
      row(...Object.values(kernel).map((value) => value ?? ''));
    }
    print(`\n${stderr.trim().split('\n').at(-1)}`);
  };

if (options.part) {
  await OWN_PROCESS[options.part]().catch((error) => {
    process.stderr.write(`${reasonOf(error)}\n`);
    process.exit(1);
  });
  process.exit();
}
await main();
