import { kernel } from './kernel.js';

interface TokenEmbeddingAttributes {
  padId: number;
  maskId: number;
  tokenDropout: boolean;
}

export const tokenEmbedding = kernel<TokenEmbeddingAttributes>('TokenEmbedding', ({ inputs, attrs, backend }) => {
  const { ids, word, position } = inputs;
  const [batch, length] = ids.shape;
  const [vocabulary, width] = word.shape;
  const x = backend.output([batch, length, width]);
  backend.addon.tokenEmbedding(
    batch,
    length,
    width,
    vocabulary,
    position ? position.shape[0] : 0,
    attrs.padId,
    attrs.maskId,
    attrs.tokenDropout,
    backend.integers(ids),
    backend.floats(word),
    position && backend.floats(position),
    backend.floats(x),
  );
  return [x];
});

export const tokenEmbeddingGrad = kernel<TokenEmbeddingAttributes>(
  'TokenEmbeddingGrad',
  ({ inputs, attrs, backend }) => {
    const { dy, ids, word, position } = inputs;
    const [batch, length] = ids.shape;
    const [vocabulary, width] = word.shape;
    const dword = backend.output(word.shape);
    const dposition = position && backend.output(position.shape);
    backend.addon.tokenEmbeddingGrad(
      batch,
      length,
      width,
      vocabulary,
      position ? position.shape[0] : 0,
      attrs.padId,
      attrs.maskId,
      attrs.tokenDropout,
      backend.integers(ids),
      backend.floats(dy),
      backend.floats(dword),
      dposition && backend.floats(dposition),
    );
    return dposition ? [dword, dposition] : [dword];
  },
);
