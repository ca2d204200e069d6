import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { writeError } from '../formats/fileErrors.js';

/** Sums over predicted positions; the figures that people read are made from them. */
export interface Tally {
  /** Positions predicted. */
  positions: number;
  /** Sum of the positions' cross-entropies, in nats. */
  loss: number;
  /** Positions whose largest logit is the true residue's. */
  correct: number;
}

/** What a tally says: mean cross-entropy in nats, share of correct positions, and e to the power of the loss. */
export interface Figures {
  loss: number;
  accuracy: number;
  perplexity: number;
}

export const EMPTY_TALLY: Readonly<Tally> = { positions: 0, loss: 0, correct: 0 };

export function addTallies(a: Tally, b: Tally): Tally {
  return { positions: a.positions + b.positions, loss: a.loss + b.loss, correct: a.correct + b.correct };
}

export function figuresOf(tally: Tally): Figures {
  const loss = tally.loss / tally.positions;
  return { loss, accuracy: tally.correct / tally.positions, perplexity: Math.exp(loss) };
}

/** One line of `metrics.jsonl`. */
export interface MetricsLine extends Figures {
  step: number;
  /** Tokens that went through the model since the start of the run, padding not counted. */
  tokens: number;
  learningRate: number;
  /** Global norm of this step's gradients before clipping. */
  gradientNorm: number;
  tokensPerSecond: number;
  /** Figures of the validation split with evaluation masking, where this step was validated. */
  validation?: Figures;
}

/** A run's `metrics.jsonl`: one JSON object a logged step, appended as the run goes on. */
export class MetricsLog {
  readonly path: string;

  constructor(runFolder: string) {
    this.path = join(runFolder, 'metrics.jsonl');
  }

  append(line: MetricsLine): void {
    try {
      appendFileSync(this.path, `${JSON.stringify(line)}\n`);
    } catch (error) {
      throw writeError(error, this.path);
    }
  }

  /** The lines; one that was cut off when the process was killed, or is damaged, is left out. */
  read(): MetricsLine[] {
    if (!existsSync(this.path)) {
      return [];
    }
    const lines = readFileSync(this.path, 'utf8').split('\n');
    return lines.flatMap((line) => {
      try {
        const parsed = JSON.parse(line) as MetricsLine | null;
        return Number.isSafeInteger(parsed?.step) ? [parsed!] : [];
      } catch {
        return [];
      }
    });
  }

  /** Drops the lines past `step`: a resumed run logs those steps again. */
  async truncate(step: number): Promise<void> {
    const kept = this.read().filter((line) => line.step <= step);
    await writeFileAtomic(this.path, kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
}
