// npm run bench: this project's training and inference beside PyTorch's, run in turn on this machine, and the time per
// token of linear and of exact attention over the length. Prints a table to standard error and JSON to standard output.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONFIGURATIONS, type ConfigurationName, type Measurement, type Workload } from './workload.js';

const { values: options } = parseArgs({
  options: {
    /** A Python that has torch; without one, only this project is measured. */
    python: { type: 'string', default: process.env.TORCH_PYTHON },
    peer: { type: 'string', default: '../shared/bench/torch_peer.py' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '6' },
    threads: { type: 'string' },
    config: { type: 'string', multiple: true },
    /** training, inference or length; all of them without it. */
    only: { type: 'string', multiple: true },
    /** Tokens of a step of the comparison over lengths, and its longest length. */
    tokens: { type: 'string', default: '32768' },
    /** Adds each kernel's time. */
    profile: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const threads = options.threads === undefined ? undefined : Number(options.threads);
const wanted = (options.config ?? Object.keys(CONFIGURATIONS)) as ConfigurationName[];
const parts = options.only ?? ['training', 'inference', 'length'];
const peer = options.python && existsSync(options.peer) ? { python: options.python, script: options.peer } : undefined;

interface PeerMeasurement {
  peer: string;
  tokens_per_second: number;
  seconds_per_step: number;
  wall_seconds: number;
  cpu_seconds: number;
  peak_bytes: number;
}

/**
 * Runs the peer's script, and reports its peak memory and its processor time: it reads the clock first when it begins
 * to measure, and last when it ends.
 */
const PEER_WRAPPER = `
import json, resource, runpy, sys, time
clock, marks = time.perf_counter, []
def perf_counter():
    marks.append((clock(), time.process_time()))
    return marks[-1][0]
time.perf_counter = perf_counter
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(json.dumps({
    "wall_seconds": marks[-1][0] - marks[0][0],
    "cpu_seconds": marks[-1][1] - marks[0][1],
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
`;

function measure(workload: Omit<Workload, 'seconds' | 'threads'>, least = seconds): Measurement {
  const script = join(fileURLToPath(import.meta.url), '../measure.js');
  const argument = JSON.stringify({ ...workload, seconds: least, threads });
  return JSON.parse(execFileSync(process.execPath, [script, argument], { encoding: 'utf8' })) as Measurement;
}

function measurePeer(configuration: string, forward: boolean): PeerMeasurement | undefined {
  if (!peer) {
    return undefined;
  }
  const flags = ['--config', configuration, '--seconds', String(seconds), ...(forward ? ['--forward'] : [])];
  if (threads !== undefined) {
    flags.push('--threads', String(threads));
  }
  const lines = execFileSync(peer.python, ['-c', PEER_WRAPPER, peer.script, ...flags], { encoding: 'utf8' }).trim();
  return Object.assign({}, ...lines.split('\n').map((line) => JSON.parse(line))) as PeerMeasurement;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function print(...cells: (string | number | undefined)[]): void {
  console.error(
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(18) : String(cell ?? '-').padStart(12))).join(''),
  );
}

const megabytes = (bytes: number | undefined) => bytes && Math.round(bytes / 1e6);

/** Alternates this project with the peer, `rounds` times. */
function compare(configuration: ConfigurationName, forward: boolean) {
  const ours: Measurement[] = [];
  const theirs: PeerMeasurement[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(measure({ configuration, forward, attention: 'favor-relu', profile: options.profile }));
    const other = measurePeer(configuration, forward);
    if (other) {
      theirs.push(other);
    }
  }
  const rate = median(ours.map((one) => one.tokensPerSecond));
  const peerRate = peer && median(theirs.map((one) => one.tokens_per_second));
  const cpu = median(ours.map((one) => one.cpuSecondsPerStep));
  const peerCpu = peer && median(theirs.map((one) => (one.cpu_seconds / one.wall_seconds) * one.seconds_per_step));
  const result = {
    configuration,
    mode: forward ? 'inference' : 'training',
    tokensPerSecond: rate,
    peerTokensPerSecond: peerRate,
    ratio: peerRate && Number((rate / peerRate).toFixed(3)),
    cpuSecondsPerStep: cpu,
    peerCpuSecondsPerStep: peerCpu,
    cpuRatio: peerCpu && Number((peerCpu / cpu).toFixed(3)),
    peakBytes: median(ours.map((one) => one.peakBytes)),
    peerPeakBytes: peer && median(theirs.map((one) => one.peak_bytes)),
    peer: theirs[0]?.peer,
    runs: ours.map((one) => one.tokensPerSecond),
    peerRuns: theirs.map((one) => one.tokens_per_second),
    kernels: ours[0].kernels,
  };
  print(
    `${result.mode} ${configuration}`,
    result.tokensPerSecond,
    result.peerTokensPerSecond,
    result.ratio,
    result.cpuRatio,
    megabytes(result.peakBytes),
    megabytes(result.peerPeakBytes),
  );
  if (result.kernels) {
    for (const [name, { milliseconds, calls }] of Object.entries(result.kernels).slice(0, 12)) {
      print(`  ${name}`, `${milliseconds} ms`, `${calls} x`);
    }
  }
  return result;
}

const TOKENS = Number(options.tokens);

/** Microseconds of processor time per token of a `wide` training step, over the length, at a fixed number of tokens. */
function compareLengths() {
  const results = [];
  let crossover: number | undefined;
  for (let length = 512; length <= TOKENS; length *= 2) {
    const workload = { configuration: 'wide', forward: false, length, batch: TOKENS / length } as const;
    const time = (attention: Workload['attention']) => {
      // Exact attention's time grows with the length: past this one, a single step takes a minute.
      if (attention === 'softmax' && length > 8192) {
        return undefined;
      }
      const { cpuSecondsPerStep } = measure({ ...workload, attention }, 1);
      return Number(((cpuSecondsPerStep / TOKENS) * 1e6).toFixed(2));
    };
    const linear = time('favor-relu')!;
    const exact = time('softmax');
    if (exact !== undefined && linear < exact) {
      crossover ??= length;
    }
    print(`L = ${length}`, linear, exact);
    results.push({ length, favorRelu: linear, softmax: exact });
  }
  print('crossover', crossover);
  return { microsecondsPerToken: results, crossover };
}

const report: Record<string, unknown> = { peer: peer?.script, rounds, seconds };
if (parts.includes('training') || parts.includes('inference')) {
  print('tokens/s', 'ours', 'peer', 'ratio', 'CPU ratio', 'MB', 'MB of peer');
  if (!peer) {
    console.error('(no peer: give --python a Python that has torch, and --peer torch_peer.py)');
  }
}
if (parts.includes('training')) {
  report.training = wanted.map((name) => compare(name, false));
}
if (parts.includes('inference')) {
  report.inference = wanted.filter((name) => name !== 'paper').map((name) => compare(name, true));
}
if (parts.includes('length')) {
  print('µs per token', 'favor-relu', 'softmax');
  report.length = compareLengths();
}
console.log(JSON.stringify(report, null, 2));
