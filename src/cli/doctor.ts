import { table } from 'arquero';
import { Command } from 'commander';
import { DEVICES, type EngineReport, type Honours } from '../engines/engine.js';
import { addCommonOptions, addExamples, type CommonOptions } from './options.js';
import { addOutputOptions, type OutputOptions, tableOutput } from './output.js';

/** An engine's report with the rates of its matrix products, where it runs. */
interface Finding extends EngineReport {
  gflops?: number;
  gflopsOfHalf?: number;
  /** Kernels that the engine lacks and has from the host, and how often they ran while it was measured. */
  hostKernels?: number;
  hostRuns?: number;
}

interface DoctorOptions extends CommonOptions, OutputOptions {
  kernels?: boolean;
}

/** `protein-lm doctor`: which engines run here, how fast, and what the others need. */
export function doctorCommand(): Command {
  const command = new Command('doctor')
    .description('List the engines: which run here and how fast, and what the others need.')
    .option('--kernels', 'list instead which engine has which kernel: its own, the reference, or computed on the host')
    .action(doctor);
  addOutputOptions(command);
  addCommonOptions(command, 'threads');
  return addExamples(command, 'protein-lm doctor', 'protein-lm doctor --format json', 'protein-lm doctor --kernels');
}

async function doctor(options: DoctorOptions): Promise<void> {
  const output = options.out !== undefined || options.format !== undefined ? tableOutput(options) : undefined;
  const { probeEngines, startEngine } = await import('../engines/index.js');
  if (options.kernels) {
    await listKernels(output);
    return;
  }
  const { hostKernels, hostRuns } = await import('../engines/hostFallback.js');
  const { measureProducts } = await import('../ops/rate.js');
  const measure = async ({ device, honours }: EngineReport & { honours: Honours }, precision: 'f16' | 'f32') => {
    const threads = (options.threads ?? 0) > honours.threads ? undefined : options.threads;
    const engine = await startEngine(device, { threads, precision });
    const gflops = await measureProducts().finally(() => engine.stop());
    const runs = hostRuns(engine.backend).reduce((sum, entry) => sum + entry.runs, 0);
    const host = { hostKernels: hostKernels(engine.backend).length, hostRuns: runs };
    return { description: engine.description, gflops, ...host };
  };
  const findings: Finding[] = [];
  for (const report of await probeEngines()) {
    const finding: Finding = { ...report };
    if (report.usable) {
      try {
        Object.assign(finding, await measure(report, 'f32'));
        if (report.honours.precisions.includes('f16')) {
          // Whoever has no matrix units refuses to start so.
          const half = await measure(report, 'f16').catch(() => undefined);
          finding.description = half?.description ?? finding.description;
          finding.gflopsOfHalf = half?.gflops;
        }
      } catch (error) {
        finding.usable = false;
        finding.reason = (error as Error).message;
      }
    }
    findings.push(finding);
  }
  const chosen = findings.find((finding) => finding.usable && finding.automatic)?.device;
  if (output) {
    await output.write(
      table({
        device: findings.map((finding) => finding.device),
        usable: findings.map((finding) => finding.usable),
        default: findings.map((finding) => finding.device === chosen),
        description: findings.map((finding) => finding.description ?? null),
        gflops: findings.map((finding) => finding.gflops ?? null),
        gflops_f16: findings.map((finding) => finding.gflopsOfHalf ?? null),
        host_kernels: findings.map((finding) => finding.hostKernels ?? null),
        host_runs: findings.map((finding) => finding.hostRuns ?? null),
        reason: findings.map((finding) => finding.reason ?? null),
        install: findings.map((finding) => finding.install ?? null),
      }),
    );
  } else {
    process.stdout.write(findings.map((finding) => describe(finding, chosen)).join(''));
  }
}

function describe(finding: Finding, chosen: string | undefined): string {
  const { device, usable, description, gflops, gflopsOfHalf, reason, install } = finding;
  const name = device.padEnd(12);
  const indent = ' '.repeat(name.length);
  if (!usable) {
    return `${name}not usable: ${reason ?? 'unknown reason'}\n${install ? `${indent}to get it: ${install}\n` : ''}`;
  }
  const marks = device === chosen ? ', taken by --device auto' : '';
  const half = gflopsOfHalf === undefined ? '' : ` (f32), ${rate(gflopsOfHalf)} (f16)`;
  const host = finding.hostKernels
    ? `${indent}computed on the host: ${finding.hostKernels} kernels of tfjs that it lacks (--kernels lists them), ` +
      `${finding.hostRuns} runs while measuring\n`
    : '';
  return `${name}usable${marks}: ${description}\n${indent}matrix product: ${rate(gflops!)}${half}\n${host}`;
}

async function listKernels(output: ReturnType<typeof tableOutput> | undefined): Promise<void> {
  await import('../ops/kernels.js');
  const { listKernels: list } = await import('../engines/index.js');
  const rows = await list();
  const columns = Object.fromEntries(
    DEVICES.map((device) => [device, rows.map(({ engines }) => engines[device] ?? null)]),
  );
  if (output) {
    await output.write(table({ kernel: rows.map(({ kernel }) => kernel), ...columns }));
    return;
  }
  const width = 2 + Math.max(...rows.map(({ kernel }) => kernel.length));
  const line = (name: string, cells: (string | null)[]) =>
    `${name.padEnd(width)}${cells.map((cell) => (cell ?? '-').padEnd(12)).join('')}`.trimEnd();
  const lines = rows.map(({ kernel }, i) =>
    line(
      kernel,
      DEVICES.map((device) => columns[device][i]),
    ),
  );
  process.stdout.write(`${[line('kernel', [...DEVICES]), ...lines].join('\n')}\n`);
}

function rate(gflops: number): string {
  return `${gflops >= 100 ? Math.round(gflops) : gflops.toPrecision(3)} GFLOP/s`;
}
