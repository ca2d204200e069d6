export { type ArrayFile, createArrayFile } from '../formats/arrayFile.js';
export { type ApproximationError, approximationError, modelInputs, randomInputs } from './approximation.js';
export { allLayers, attentionLayers, type LayerAttention } from './attentionLayers.js';
export {
  type AttentionMapOptions,
  type AttentionTile,
  attentionMap,
  attentionMaps,
  attentionRollout,
  mapLabels,
} from './attentionMaps.js';
export {
  type ContactHead,
  type ContactPrecision,
  contactHeadOf,
  contactPrecision,
  fitContactHead,
  type KnownContacts,
  type PredictedContact,
  predictContacts,
  residueMaps,
  topContacts,
} from './contacts.js';
export { oneHotAttention } from './oneHotAttention.js';
export { type AttentionPair, strongestPairs } from './pairs.js';
export { type ResidueSimilarity, residueSimilarity } from './similarity.js';
