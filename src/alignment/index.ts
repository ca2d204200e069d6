export { type Alignment, type AlignmentOptions, GAP, LETTERS, readAlignment } from './alignment.js';
export { blosum62, normalisedBlosum62 } from './blosum62.js';
export { drawCopies, type Family, familySequences } from './family.js';
export { seenLetters, siteFrequencies, weightedCounts } from './frequencies.js';
export { alignPair, type PairwiseAlignment } from './pairwise.js';
export {
  type Placement,
  type PlacementOptions as AlignmentPlacementOptions,
  placeAlignment,
  placeChain,
} from './placement.js';
export {
  ALIGNMENT_SCHEMES,
  type AlignmentScheme,
  relatedRows,
  type SchemeTerms,
  schemeTerms,
} from './scores.js';
export { type FoundFamily, SEARCH_PROGRAMS, type SearchOptions, type SearchProgram, searchFamily } from './search.js';
export { effectiveDepth, sequenceWeights, WEIGHTINGS, type Weighting, type WeightOptions } from './weights.js';
