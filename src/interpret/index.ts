/// <reference types="long" preserve="true" />
export {
  type ApproximationError,
  type ApproximationOptions,
  approximationError,
  type Estimator,
  type FeatureKind,
  type HeadInputs,
  modelInputs,
  randomInputs,
} from './approximation.js';
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
export { type ContactRow, contactColumns, readContactHead } from './contactTable.js';
export { type MapExportOptions, type NamedSequence, pairColumns, writeMapArrays, writeMapTable } from './mapExport.js';
export { oneHotAttention } from './oneHotAttention.js';
export { type AttentionPair, type StrongestPairsOptions, strongestPairs } from './pairs.js';
export { type ResidueSimilarity, residueSimilarity } from './similarity.js';
