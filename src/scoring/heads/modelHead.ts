import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../data/errors.js';
import type { LanguageModel } from '../../model/model.js';
import type { Classification, Prediction } from './classifier.js';
import { argmax } from './gradientHead.js';

/** What the head tells that a checkpoint brings: classes of sequences or residues, or a value of a sequence. */
export function modelTask(models: readonly LanguageModel[]): Classification | 'value' | undefined {
  const classifier = models[0]?.architecture.classifier;
  if (!classifier) {
    return undefined;
  }
  if (models.length > 1) {
    throw new InputError(`a model with a head of its own predicts alone: give one --model, not ${models.length}`);
  }
  if (classifier.of === 'token') {
    return 'residues';
  }
  return classifier.labels.length === 1 ? 'value' : 'sequences';
}

/** What a checkpoint's own head says of a sequence: its value, or one prediction, or one a residue. */
export async function predictByModel(
  model: LanguageModel,
  sequence: string,
): Promise<{ value: number } | { predictions: Prediction[] }> {
  const tokens = model.alphabet.encode(sequence);
  const output = tf.tidy(() => model.classify(tf.tensor2d(Int32Array.from(tokens), [1, tokens.length], 'int32')));
  const values = (await output.data()) as Float32Array;
  output.dispose();
  const { of, labels } = model.architecture.classifier!;
  if (of === 'sequence' && labels.length === 1) {
    return { value: values[0] };
  }
  // Of tokens, those between <cls> and <eos>.
  const [first, count] = of === 'token' ? [1, sequence.length] : [0, 1];
  const predictions = Array.from({ length: count }, (_, i): Prediction => {
    const start = (first + i) * labels.length;
    const logits = [...values.subarray(start, start + labels.length)];
    const best = argmax(logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - logits[best]), 0);
    return { label: labels[best], probability: 1 / total };
  });
  return { predictions };
}
