import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError } from '../data/errors.js';
import { parseConfig } from '../model/checkpoints/index.js';
import { MetricsLog } from '../training/metrics.js';
import type { Report } from './page.js';
import { type TrainingLine, trainingReport } from './reports.js';

/**
 * The report of a run folder: its curves, and what was trained.
 * @throws InputError where no step is logged in it
 */
export function runReport(folder: string): Report {
  const lines: TrainingLine[] = new MetricsLog(folder).read();
  if (lines.length === 0) {
    throw new InputError(`${folder}: no metrics.jsonl in it: give a folder that protein-lm pretrain wrote`);
  }
  const facts: [string, string | number][] = [];
  const path = join(folder, 'config.json');
  if (existsSync(path)) {
    const config = parseConfig(readFileSync(path, 'utf8'), path);
    facts.push(
      ['Layers', config.num_hidden_layers],
      ['Hidden size', config.hidden_size],
      ['Heads', config.num_attention_heads],
      ['Attention', config.attention.kind],
    );
  }
  return trainingReport(basename(folder), lines, facts);
}
