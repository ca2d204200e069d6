// The rate of the native CPU engine's matrix product, shape by shape, beside PyTorch's in the same run.
//
//   npm run build && node test/bench/matmul.mjs [--python python3] [--threads N] [--rounds 5] [--seconds 0.2] [--only TEXT]
//
// Prints JSON: GFLOP/s of both, the median of the rounds, in which the two take turns, and the median of each round's
// ratio; then the same of each round's quickest call, which on a machine with other work says more.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { loadAddon } from '../../dist/engines/cpu/addon.js';
import { gemm } from '../../dist/engines/cpu/gemm.js';

const { values: options } = parseArgs({
  options: {
    python: { type: 'string' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.2' },
    only: { type: 'string', default: '' },
  },
});
const addon = loadAddon();
if (options.threads) {
  addon.setThreads(Number(options.threads));
}

const square = { name: 'square', m: 1024, n: 1024, k: 1024 };
const shapes = [square, { name: 'tall', m: 4096, n: 512, k: 1024 }, { name: 'one row', m: 1, n: 512, k: 512 }];
// y = x wᵀ [rows, out], its gradients dx = dy w and dw = dyᵀ x.
for (const [rows, input, output] of [
  [600, 128, 128],
  [4096, 128, 384],
  [4096, 128, 128],
  [4096, 128, 256],
  [4096, 256, 128],
  [2048, 512, 1536],
  [2048, 512, 512],
  [2048, 512, 1024],
  [2048, 1024, 512],
  [1024, 512, 1536],
  [1024, 512, 1024],
  [1024, 1024, 512],
  [8192, 512, 1536],
  [2048, 512, 33],
]) {
  const name = `linear ${rows}x${input}->${output}`;
  shapes.push({ name, m: rows, n: output, k: input, transposeB: true });
  shapes.push({ name: `${name} dx`, m: rows, n: input, k: output });
  shapes.push({ name: `${name} dw`, m: output, n: input, k: rows, transposeA: true });
}
// Heads inside a fused qkv [batch, length, 3, heads, size]: kᵀ v, q (kᵀ v), q kᵀ.
for (const [batch, heads, length, size] of [
  [8, 4, 512, 32],
  [2, 8, 1024, 64],
  [1, 8, 8192, 64],
]) {
  const name = `heads ${batch}x${heads}x${length}x${size}`;
  const heads_ = { batch, heads, length, size };
  shapes.push({ name: `${name} kTv`, m: size, n: size, k: length, transposeA: true, ...heads_, kind: 'kv' });
  shapes.push({ name: `${name} q(kv)`, m: length, n: size, k: size, ...heads_, kind: 'qs' });
  if (length <= 1024) {
    shapes.push({ name: `${name} qkT`, m: length, n: length, k: size, transposeB: true, ...heads_, kind: 'qk' });
  }
}

function random(count) {
  return Float32Array.from({ length: count }, () => Math.random() - 0.5);
}

/** A function that computes the shape's product once. */
function prepare(shape) {
  const { m, n, k, transposeA = false, transposeB = false, kind } = shape;
  if (!kind) {
    const [a, b, c] = [random(m * k), random(k * n), new Float32Array(m * n)];
    return () => gemm({ m, n, k, a: { data: a }, transposeA, b: { data: b }, transposeB, c: { data: c } });
  }
  const { batch, heads, length, size } = shape;
  const width = heads * size;
  const qkv = random(batch * length * 3 * width);
  const head = (part) => ({
    data: qkv,
    offset: part * width,
    stride: 3 * width,
    outerStride: length * 3 * width,
    innerStride: size,
  });
  const contiguous = (rows, columns) => ({
    data: random(batch * heads * rows * columns),
    outerStride: heads * rows * columns,
    innerStride: rows * columns,
  });
  const common = { m, n, k, batch: [batch, heads], c: contiguous(m, n), transposeA, transposeB };
  if (kind === 'kv') {
    return () => gemm({ ...common, a: head(1), b: head(2) });
  }
  if (kind === 'qk') {
    return () => gemm({ ...common, a: head(0), b: head(1) });
  }
  const state = contiguous(size, size);
  const out = { data: random(batch * length * width), stride: width, outerStride: length * width, innerStride: size };
  return () => gemm({ ...common, a: head(0), b: state, c: out });
}

/** Seconds of one call over a stretch of time: their mean and the quickest. */
function measure(run, seconds) {
  run();
  let [total, calls, best] = [0, 0, Number.POSITIVE_INFINITY];
  do {
    const start = performance.now();
    run();
    const elapsed = (performance.now() - start) / 1000;
    total += elapsed;
    calls++;
    best = Math.min(best, elapsed);
  } while (total < seconds);
  return { mean: total / calls, best };
}

const PEER = `
import json, sys, time, torch
for line in sys.stdin:
    s = json.loads(line)
    torch.set_num_threads(s['threads'])
    if s.get('kind'):
        x = torch.randn(s['batch'], s['length'], 3, s['heads'], s['size']).permute(2, 0, 3, 1, 4)
        q, k, v = x[0], x[1], x[2]
        state = torch.randn(s['batch'], s['heads'], s['size'], s['size'])
        f = {'kv': lambda: k.transpose(-1, -2) @ v, 'qs': lambda: q @ state, 'qk': lambda: q @ k.transpose(-1, -2)}[s['kind']]
    else:
        a = torch.randn(s['k'], s['m']).t() if s.get('transposeA') else torch.randn(s['m'], s['k'])
        b = torch.randn(s['n'], s['k']).t() if s.get('transposeB') else torch.randn(s['k'], s['n'])
        out = torch.empty(s['m'], s['n'])
        f = lambda: torch.mm(a, b, out=out)
    with torch.no_grad():
        f(); n = 0; total = 0; best = 1e9
        while total < s['seconds']:
            t = time.perf_counter(); f(); t = time.perf_counter() - t
            total += t; n += 1; best = min(best, t)
    print(json.dumps({'mean': total / n, 'best': best}), flush=True)
`;

const peer = options.python && spawn(options.python, ['-c', PEER], { stdio: ['pipe', 'pipe', 'inherit'] });
const replies = peer && createInterface({ input: peer.stdout })[Symbol.asyncIterator]();
async function measurePeer(shape, seconds) {
  peer.stdin.write(`${JSON.stringify({ ...shape, seconds, threads: addon.threads() })}\n`);
  const { value, done } = await replies.next();
  if (done) {
    throw new Error(`${options.python} ended: does it have torch?`);
  }
  return JSON.parse(value);
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const round = (x, digits) => Number(x.toFixed(digits));

const results = [];
for (const shape of shapes.filter(({ name }) => name.includes(options.only))) {
  const run = prepare(shape);
  const operations = 2 * shape.m * shape.n * shape.k * (shape.batch ?? 1) * (shape.heads ?? 1);
  const [ours, theirs] = [[], []];
  for (let i = 0; i < Number(options.rounds); i++) {
    ours.push(measure(run, Number(options.seconds)));
    if (peer) {
      theirs.push(await measurePeer(shape, Number(options.seconds)));
    }
  }
  const figures = (kind) => {
    const gflops = (rounds) => round(operations / median(rounds.map((each) => each[kind])) / 1e9, 1);
    const ratio = () => round(median(ours.map((each, i) => theirs[i][kind] / each[kind])), 2);
    return { gflops: gflops(ours), ...(peer && { pytorch: gflops(theirs), ratio: ratio() }) };
  };
  results.push({
    shape: shape.name,
    m: shape.m,
    n: shape.n,
    k: shape.k,
    batch: (shape.batch ?? 1) * (shape.heads ?? 1),
    microseconds: round(median(ours.map(({ best }) => best)) * 1e6, 1),
    mean: figures('mean'),
    best: figures('best'),
  });
  if (process.stderr.isTTY) {
    process.stderr.write(`${JSON.stringify(results.at(-1))}\n`);
  }
}
peer?.stdin.end();
console.log(
  JSON.stringify(
    { bench: 'matmul', threads: addon.threads(), instructionSet: addon.instructionSet(), results },
    null,
    2,
  ),
);
