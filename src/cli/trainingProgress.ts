import { join } from 'node:path';
import { UNITS } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { TokenStore } from '../data/store.js';
import { DeviceLostError } from '../engines/engine.js';
import type { Figures } from '../training/metrics.js';
import type { Training, TrainingStatus } from '../training/run.js';
import { INTERRUPTED } from './errors.js';
import type { PretrainOptions } from './pretrainOptions.js';
import { count, createProgress, formatDuration } from './progress.js';

type Train = typeof import('../training/run.js').train;

/** Trains, shows how far it is, and ends a run as it was asked to. */
export async function runWithProgress(
  options: PretrainOptions,
  training: Training,
  store: TokenStore,
  train: Train,
): Promise<void> {
  const { out, quiet, logEvery, validateEvery, validationSequences, checkpointEvery, keep } = options;
  const { recipe, step: firstStep, seconds: firstSeconds } = training.state;
  const unit = UNITS[training.model.alphabet.name];
  const progress = createProgress({
    label: 'training',
    total: recipe.budget.steps,
    unit: 'steps',
    start: firstStep,
    quiet,
  });
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) {
      process.exit(INTERRUPTED);
    }
    controller.abort();
    progress.log('stopping after this step; once more stops at once');
  };
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  let firstFraction: number | undefined;
  const onStep = (status: TrainingStatus) => {
    firstFraction ??= status.fraction;
    const share = status.fraction - firstFraction;
    const secondsLeft = share > 0 ? ((status.seconds - firstSeconds) * (1 - status.fraction)) / share : undefined;
    const detail = `loss ${status.loss.toFixed(3)}  ${figures(status)}  ${count(Math.round(status.tokensPerSecond))} tokens/s`;
    progress.update(status.step, detail, { fraction: status.fraction, secondsLeft });
  };
  try {
    const result = await train(out, training, store, {
      cadence: { logEvery, validateEvery, validationSequences, checkpointEvery, keep },
      recompute: options.recompute,
      signal: controller.signal,
      onStep,
      onValidation: (step, model, baseline) =>
        progress.log(`step ${step}: validation ${compared(model, baseline, unit)}`),
    });
    progress.end();
    // The model is saved: that its curves cannot be drawn is no failure of the run.
    await writeRunReport(out).catch((error: Error) =>
      process.stderr.write(`warning: no report.html: ${error.message.split('\n')[0]}\n`),
    );
    if (!result.finished) {
      process.stderr.write(`stopped after step ${result.step}; go on with: ${resumeCommand(out)}\n`);
      process.exitCode = INTERRUPTED;
    } else if (result.step === firstStep) {
      const done = `${count(result.step)} steps are done, as asked`;
      process.stderr.write(`${out}: ${done}; give more --steps, --tokens or --minutes to go on\n`);
    } else if (!quiet) {
      const work = `${count(result.step)} steps, ${count(result.tokens)} tokens`;
      const outcome = result.validation
        ? `; validation ${compared(result.validation.model, result.validation.baseline, unit)}`
        : '';
      process.stderr.write(`${out}: ${work} in ${formatDuration(result.seconds)}${outcome}\n`);
    }
  } catch (error) {
    if (!(error instanceof DeviceLostError)) {
      throw error;
    }
    const { latestCheckpoint } = await import('../training/checkpoint.js');
    const checkpoint = latestCheckpoint(out);
    if (!checkpoint) {
      throw error;
    }
    throw new InputError(`${error.what}; step ${checkpoint.step} is saved; go on with: ${resumeCommand(out)}`);
  } finally {
    progress.end();
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
  }
}

function resumeCommand(run: string): string {
  return `protein-lm pretrain --out ${shellWord(run)} --resume`;
}

/** The curves of the run so far, as `protein-lm report` draws them. */
async function writeRunReport(run: string): Promise<void> {
  const { MetricsLog } = await import('../training/metrics.js');
  if (new MetricsLog(run).read().length === 0) {
    return;
  }
  const { runReport } = await import('../report/runReport.js');
  const { writeReport } = await import('../report/write.js');
  await writeReport(runReport(run), { html: join(run, 'report.html') });
}

/** A path as one word of a shell's command line. */
function shellWord(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function figures({ accuracy, perplexity }: Figures): string {
  return `perplexity ${perplexity.toFixed(2)}  accuracy ${(100 * accuracy).toFixed(1)} %`;
}

function compared(model: Figures, baseline: Figures, unit: string): string {
  return `${figures(model)} (${unit} frequencies: ${figures(baseline)})`;
}
