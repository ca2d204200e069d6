import { ADD_LAYER_NORM, ADD_LAYER_NORM_GRAD } from '../../../ops/addLayerNorm.js';
import { native } from './kernel.js';

export const addLayerNorm = [
  native(ADD_LAYER_NORM, 'layerNorm', ({ x, residual }, { epsilon, dropoutRate, dropoutSeed }) => {
    const [rows, width] = x.shape;
    return {
      sizes: [rows, width, epsilon, dropoutRate, dropoutSeed],
      shapes: { normed: x.shape, sum: residual && x.shape, moments: [rows, 2] },
    };
  }),
  native(ADD_LAYER_NORM_GRAD, 'layerNormGrad', ({ dsum, sum }, { dropoutRate, dropoutSeed }) => {
    const [rows, width] = sum.shape;
    return {
      sizes: [rows, width, dropoutRate, dropoutSeed],
      shapes: {
        dx: sum.shape,
        dgamma: [width],
        dbeta: [width],
        dresidual: dsum && dropoutRate > 0 ? sum.shape : undefined,
      },
    };
  }),
];
