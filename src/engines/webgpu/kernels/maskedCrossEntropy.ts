import { MASKED_CROSS_ENTROPY, MASKED_CROSS_ENTROPY_GRAD } from '../../../ops/maskedCrossEntropy.js';
import { allocate, launch, launchElements, reduction, release } from './launch.js';
import { kernel } from './register.js';

const forward = kernel(MASKED_CROSS_ENTROPY, ({ inputs: { logits, labels, weights }, backend }) => {
  const [count, vocabulary] = logits.shape;
  const logsums = allocate(backend, [count]);
  const terms = allocate(backend, [2, count]);
  launchElements(backend, {
    name: 'MaskedCrossEntropyRows',
    inputs: { logits, labels, weights },
    outputs: { logsums, terms },
    constants: { vocabulary },
    body: `
    let start = i * c.vocabulary;
    var best = 0u;
    for (var j = 1u; j < c.vocabulary; j++) { if (logits[start + j] > logits[start + best]) { best = j; } }
    let largest = logits[start + best];
    var sum = 0.0;
    for (var j = 0u; j < c.vocabulary; j++) { sum += exp(logits[start + j] - largest); }
    let logsum = largest + log(sum);
    let label = u32(labels[i]);
    logsums[i] = logsum;
    terms[i] = weights[i] * (logsum - logits[start + label]);
    terms[c.elements + i] = select(0.0, 1.0, best == label && weights[i] > 0.0);`,
    size: count,
  });
  const loss = allocate(backend, []);
  const correct = allocate(backend, []);
  launch(backend, {
    name: 'MaskedCrossEntropy',
    inputs: { terms },
    outputs: { loss, correct },
    constants: { count },
    declarations: reduction(256),
    body: `
  var total = 0.0;
  var right = 0.0;
  for (var i = lane; i < c.count; i += 256u) {
    total += terms[i];
    right += terms[c.count + i];
  }
  let sum = reduce(total, lane);
  let hits = reduce(right, lane);
  if (lane == 0u) { loss[0] = sum; correct[0] = hits; }`,
    groups: 1,
  });
  release(backend, terms);
  return { loss, correct, logsumexp: logsums };
});

const gradient = kernel(MASKED_CROSS_ENTROPY_GRAD, ({ inputs, backend }) => {
  const { dloss, logits, labels, weights, logsumexp } = inputs;
  const [count, vocabulary] = logits.shape;
  const dlogits = allocate(backend, logits.shape);
  launchElements(backend, {
    name: 'MaskedCrossEntropyGrad',
    inputs: { dloss, logits, labels, weights, logsums: logsumexp },
    outputs: { dlogits },
    constants: { vocabulary },
    body: `
    let row = i / c.vocabulary;
    let chosen = select(0.0, 1.0, u32(labels[row]) == i % c.vocabulary);
    dlogits[i] = dloss[0] * weights[row] * (exp(logits[i] - logsums[row]) - chosen);`,
    size: count * vocabulary,
  });
  return { dlogits };
});

export const maskedCrossEntropy = [forward, gradient];
