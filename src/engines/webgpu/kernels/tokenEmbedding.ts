import type { TensorInfo } from '@tensorflow/tfjs-core';
import { TOKEN_EMBEDDING, TOKEN_EMBEDDING_GRAD, type TokenEmbeddingOptions } from '../../../ops/tokenEmbedding.js';
import type { Gpu } from '../gpu.js';
import { allocate, launch, launchElements, release, sumParts } from './launch.js';
import { kernel } from './register.js';

// Tokens whose rows one workgroup adds up into the gradient of the embeddings, for a vocabulary of up to IDS: of a larger
// one more, so that the sums of all workgroups stay as small.
const TOKENS = 256;
// Embeddings that a workgroup adds up: 64 columns of them fit into the 16 KiB that every GPU has for it.
const IDS = 64;
// As in src/ops/tokenEmbedding.ts.
const TRAINING_MASK_RATIO = 0.15 * 0.8;

/**
 * What a token's row depends on in its sequence.
 * @returns ranks [B, L]: the running count of kept tokens, 0 for padding; places [B, L]: the other way round, the
 * index of the token of that rank (minus 1), or -1; scales [B]: the factor of token dropout
 */
function scan(backend: Gpu, ids: TensorInfo, { padId, maskId }: TokenEmbeddingOptions) {
  const [batch, length] = ids.shape;
  const ranks = backend.makeTensorInfo([batch, length], 'int32');
  const places = backend.makeTensorInfo([batch, length], 'int32');
  const scales = allocate(backend, [batch]);
  launch(backend, {
    name: 'TokenScan',
    inputs: { ids },
    outputs: { ranks, places, scales },
    constants: { length, pad: padId, mask: maskId },
    floats: { share: 1 - TRAINING_MASK_RATIO },
    declarations: 'var<workgroup> counts: array<u32, 256>;\nvar<workgroup> masks: array<u32, 256>;',
    body: `
  let start = group * c.length;
  let each = (c.length + 255u) / 256u;
  let first = min(c.length, lane * each);
  let last = min(c.length, first + each);
  var kept = 0u;
  var masked = 0u;
  for (var i = first; i < last; i++) {
    places[start + i] = -1;
    kept += select(0u, 1u, u32(ids[start + i]) != c.pad);
    masked += select(0u, 1u, u32(ids[start + i]) == c.mask);
  }
  counts[lane] = kept;
  masks[lane] = masked;
  storageBarrier();
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < lane; i++) { before += counts[i]; }
  for (var i = first; i < last; i++) {
    if (u32(ids[start + i]) == c.pad) {
      ranks[start + i] = 0;
    } else {
      places[start + before] = i32(i);
      before += 1u;
      ranks[start + i] = i32(before);
    }
  }
  if (lane == 255u) {
    for (var i = 0u; i < 255u; i++) { masked += masks[i]; }
    scales[group] = c.share / (1.0 - f32(masked) / f32(before));
  }`,
    groups: batch,
  });
  return { ranks, places, scales };
}

const forward = kernel(TOKEN_EMBEDDING, ({ inputs: { ids, word, position }, attributes, backend }) => {
  const [batch, length] = ids.shape;
  const width = word.shape[1];
  const { ranks, places, scales } = scan(backend, ids, attributes);
  const x = allocate(backend, [batch, length, width]);
  const { padId, maskId, tokenDropout } = attributes;
  launchElements(backend, {
    name: 'TokenEmbedding',
    inputs: { ids, word, position, ranks, ...(tokenDropout && { scales }) },
    outputs: { x },
    constants: { width, length, pad: padId, mask: maskId },
    body: `
    let token = i / c.width;
    let j = i % c.width;
    let id = u32(ids[token]);
    let rank = u32(ranks[token]);
    var value = 0.0;
    if (rank > 0u) {
      value = word[id * c.width + j];
      ${tokenDropout ? 'value = select(value * scales[token / c.length], 0.0, id == c.mask);' : ''}
      ${position ? 'value += position[(c.pad + rank) * c.width + j];' : ''}
    }
    x[i] = value;`,
    size: batch * length * width,
  });
  release(backend, ranks, places, scales);
  return { x };
});

const gradient = kernel(TOKEN_EMBEDDING_GRAD, ({ inputs: { dy, ids, word, position }, attributes, backend }) => {
  const [batch, length] = ids.shape;
  const [vocabulary, width] = word.shape;
  const { padId, maskId, tokenDropout } = attributes;
  const { ranks, places, scales } = scan(backend, ids, attributes);
  const tokens = batch * length;
  const ranges = Math.ceil(vocabulary / IDS);
  const tokensPerBlock = TOKENS * ranges;
  const blocks = Math.ceil(tokens / tokensPerBlock);
  const tiles = Math.ceil(width / 64);
  const idsPerRange = Math.min(vocabulary, IDS);
  const parts = allocate(backend, [blocks, vocabulary * width]);
  // A thread adds up one column, so that no two write to one place.
  launch(backend, {
    name: 'TokenEmbeddingGradWord',
    inputs: { dy, ids, ...(tokenDropout && { scales }) },
    outputs: { parts },
    constants: { width, length, tokens, blocks, tiles, pad: padId, mask: maskId },
    threads: 64,
    declarations: `var<workgroup> sums: array<f32, ${64 * idsPerRange}>;`,
    body: `
  let block = group % c.blocks;
  let j = group / c.blocks % c.tiles * 64u + lane;
  let first = group / c.blocks / c.tiles * ${idsPerRange}u;
  let last = min(first + ${idsPerRange}u, ${vocabulary}u);
  if (j >= c.width) { return; }
  for (var id = first; id < last; id++) { sums[(id - first) * 64u + lane] = 0.0; }
  for (var token = block * ${tokensPerBlock}u; token < min(c.tokens, (block + 1u) * ${tokensPerBlock}u); token++) {
    let id = u32(ids[token]);
    if (id < first || id >= last || id == c.pad${tokenDropout ? ' || id == c.mask' : ''}) { continue; }
    sums[(id - first) * 64u + lane] += dy[token * c.width + j]${tokenDropout ? ' * scales[token / c.length]' : ''};
  }
  for (var id = first; id < last; id++) {
    parts[(block * ${vocabulary}u + id) * c.width + j] = sums[(id - first) * 64u + lane];
  }`,
    groups: blocks * tiles * ranges,
  });
  const dword = allocate(backend, word.shape);
  sumParts(backend, parts, blocks, [dword]);
  const dposition = position && allocate(backend, position.shape);
  if (dposition) {
    launchElements(backend, {
      name: 'TokenEmbeddingGradPosition',
      inputs: { dy, places },
      outputs: { dposition },
      constants: { width, length, batch, pad: padId },
      body: `
    let row = i / c.width;
    var sum = 0.0;
    if (row > c.pad && row - c.pad <= c.length) {
      for (var b = 0u; b < c.batch; b++) {
        let place = places[b * c.length + row - c.pad - 1u];
        if (place >= 0) { sum += dy[(b * c.length + u32(place)) * c.width + i % c.width]; }
      }
    }
    dposition[i] = sum;`,
      size: position.shape[0] * width,
    });
  }
  release(backend, parts, ranks, places, scales);
  return { dword, dposition };
});

export const tokenEmbedding = [forward, gradient];
