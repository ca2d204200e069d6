import { kernel } from './kernel.js';

interface AddLayerNormAttributes {
  epsilon: number;
  dropoutRate: number;
  dropoutSeed: number;
}

export const addLayerNorm = kernel<AddLayerNormAttributes>('AddLayerNorm', ({ inputs, attrs, backend }) => {
  const { x, residual, gamma, beta } = inputs;
  const [rows, width] = x.shape;
  const sum = residual && backend.output(x.shape);
  const normed = backend.output(x.shape);
  const mean = backend.output([rows]);
  const reciprocal = backend.output([rows]);
  backend.addon.layerNorm(
    rows,
    width,
    backend.floats(x),
    residual && backend.floats(residual),
    backend.floats(gamma),
    backend.floats(beta),
    attrs.epsilon,
    attrs.dropoutRate,
    attrs.dropoutSeed,
    sum && backend.floats(sum),
    backend.floats(normed),
    backend.floats(mean),
    backend.floats(reciprocal),
  );
  return sum ? [sum, normed, mean, reciprocal] : [normed, mean, reciprocal];
});

export const addLayerNormGrad = kernel<AddLayerNormAttributes>('AddLayerNormGrad', ({ inputs, attrs, backend }) => {
  const { dsum, dnormed, sum, gamma, aux0: mean, aux1: reciprocal } = inputs;
  const [rows, width] = sum.shape;
  const dx = backend.output(sum.shape);
  const dresidual = dsum && attrs.dropoutRate > 0 ? backend.output(sum.shape) : undefined;
  const dgamma = backend.output([width]);
  const dbeta = backend.output([width]);
  backend.addon.layerNormGrad(
    rows,
    width,
    dsum && backend.floats(dsum),
    backend.floats(dnormed),
    backend.floats(sum),
    backend.floats(gamma),
    backend.floats(mean),
    backend.floats(reciprocal),
    attrs.dropoutRate,
    attrs.dropoutSeed,
    backend.floats(dx),
    dresidual && backend.floats(dresidual),
    backend.floats(dgamma),
    backend.floats(dbeta),
  );
  return dresidual ? [dx, dresidual, dgamma, dbeta] : [dx, dgamma, dbeta];
});
