export {
  type ArrayFile,
  type ArraySpec,
  createArrayFile,
  type Description,
  openArrayFile,
  type StoredArrays,
} from './arrayFile.js';
export { AtomicFile, writeFileAtomic } from './atomicFile.js';
export type { ElementType } from './elements.js';
export { locateModel } from './hub.js';
export { type DownloadOptions, downloadModel } from './hubDownload.js';
export { findWeights, openWeights } from './openWeights.js';
export type { TensorInfo, Weights } from './weights.js';
