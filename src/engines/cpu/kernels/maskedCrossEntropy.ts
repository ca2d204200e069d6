import { kernel } from './kernel.js';

export const maskedCrossEntropy = kernel('MaskedCrossEntropy', ({ inputs, backend }) => {
  const { logits, labels, weights } = inputs;
  const [rows, classes] = logits.shape;
  const loss = backend.output([]);
  const correct = backend.output([]);
  const logsumexp = backend.output([rows]);
  backend.addon.crossEntropy(
    rows,
    classes,
    backend.floats(logits),
    backend.integers(labels),
    backend.floats(weights),
    backend.floats(loss),
    backend.floats(correct),
    backend.floats(logsumexp),
  );
  return [loss, correct, logsumexp];
});

export const maskedCrossEntropyGrad = kernel('MaskedCrossEntropyGrad', ({ inputs, backend }) => {
  const { dloss, logits, labels, weights, aux0: logsumexp } = inputs;
  const [rows, classes] = logits.shape;
  const dlogits = backend.output(logits.shape);
  backend.addon.crossEntropyGrad(
    rows,
    classes,
    backend.floats(dloss),
    backend.floats(logits),
    backend.integers(labels),
    backend.floats(weights),
    backend.floats(logsumexp),
    backend.floats(dlogits),
  );
  return [dlogits];
});
