/// <reference types="long" preserve="true" />
export { type Aggregate, type AggregateRow, aggregateAssays } from './aggregate.js';
export {
  type Assay,
  type AssayOptions,
  type PlacementOptions,
  placeRows,
  readAssay,
  readWildType,
} from './assay.js';
export {
  type AssayFile,
  type BenchmarkOptions,
  type BenchmarkResult,
  benchmarkAssay,
  fileOfAssay,
  findAssays,
} from './benchmark.js';
export { type BenchmarkedAssay, type BenchmarkRow, benchmarkTable } from './benchmarkTable.js';
export { BLENDS, type Blend, type BlendOptions, scoreZeroShot } from './blend.js';
export { type BootstrapOptions, bootstrapSpearman, type Interval } from './bootstrap.js';
export {
  type EmbeddingOptions,
  embedSequences,
  POOLS,
  type Pool,
  type Pooling,
  poolHiddenStates,
} from './embeddings.js';
export {
  type AlignmentEvidence,
  type AlignmentEvidenceOptions,
  type Evidence,
  type ProteinEvidence,
  placeEvidence,
  readAlignmentEvidence,
  readStructureEvidence,
  type StructureEvidence,
  type StructureEvidenceOptions,
  scoreByEvidence,
  unscorableBy,
} from './evidence.js';
export {
  type AssayHead,
  type AssayHeadOptions,
  type CrossPredictions,
  crossValidate,
  fitAssayHead,
  type HeadPredictions,
  METHODS,
  type Method,
  predictAssayHead,
  predictHead,
} from './heads/assayHead.js';
export {
  CLASSIFICATIONS,
  type Classification,
  type ClassificationMetrics,
  classify,
  evaluateClasses,
  type LabelledSequences,
  labelledExamples,
  type Prediction,
  readLabelled,
  trainClassifier,
} from './heads/classifier.js';
export {
  type ClassEvaluation,
  type Coverage,
  type CrossValidationOptions,
  coverageOf,
  crossValidateAssay,
  crossValidateClasses,
  type HeadEvaluation,
  methodFits,
  splitFits,
  type TrainingVariants,
  trainingVariants,
} from './heads/crossValidation.js';
export { type FeatureOptions, VariantFeatures, type VariantPool } from './heads/features.js';
export { assignFolds, SPLITS as ASSAY_SPLITS, type Split } from './heads/folds.js';
export {
  type EvidenceFiles,
  type EvidenceKind,
  type GaussianEvidence,
  readGaussianEvidence,
} from './heads/gp/evidence.js';
export type { GaussianDescription } from './heads/gp/gaussianFile.js';
export { fitGaussianHead, type GaussianHead, predictGaussianHead } from './heads/gp/gaussianHead.js';
export {
  type GaussianPrediction,
  GaussianProcess,
  type GaussianProcessOptions,
} from './heads/gp/gaussianProcess.js';
export { type GaussianInputs, gaussianInputs, type ModelFeatures } from './heads/gp/inputs.js';
export type { KernelInputs as GaussianKernelInputs, KernelParameters, KernelSpace } from './heads/gp/kernel.js';
export {
  type Example,
  GradientHead,
  type GradientOptions,
  snapshotParameters,
  trainGradientHead,
} from './heads/gradientHead.js';
export { type HeadDescription, type HeadScoring, type LoadedHead, loadHead, saveHead } from './heads/headFiles.js';
export type { LinearHead } from './heads/linearHead.js';
export { modelTask, predictByModel } from './heads/modelHead.js';
export { fitRidge, fitSparseRidge, type LinearFit, type SparseFit, type SparseRow } from './heads/ridge.js';
export { type InferenceOptions, type Reading, readLogProbabilities } from './inference.js';
export {
  auc,
  binarise,
  evaluateScores,
  type Metrics,
  mcc,
  ndcg,
  pearson,
  rank,
  spearman,
  topRecall,
} from './metrics.js';
export { type Mutations, readMutations } from './mutations.js';
export {
  type Cell,
  checkScan,
  type ScannedSequence,
  type ScanOptions,
  type Scorer,
  scanColumns,
  scanFasta,
  taskOf,
} from './scan.js';
export {
  defaultScheme,
  ENSEMBLES,
  type Ensemble,
  LIKELIHOODS,
  type Likelihood,
  logLikelihoods,
  SCHEMES,
  type Scheme,
  type ScoreOptions,
  scoreSequence,
  scoreVariants,
  unscorable,
} from './schemes.js';
export { ACQUISITIONS, type Acquisition } from './suggest/acquisition.js';
export { gaussianScorer, headScorer, trainedSequences } from './suggest/scorers.js';
export {
  type CandidateScorer,
  type Suggestion,
  type SuggestOptions,
  suggestVariants,
} from './suggest/suggest.js';
export { VariantSpace, type VariantSpaceOptions } from './suggest/variantSpace.js';
export {
  type PublishedSplits,
  publishedSplits,
  type SupervisedOptions,
  type SupervisedResult,
  superviseAssay,
  supervisedTable,
} from './supervised.js';
export { type ColumnNames, readTable, type Table, type VariantRow, variantRows } from './tables.js';
export {
  applyVariant,
  diffSequences,
  type Edit,
  formatVariant,
  isSubstitution,
  type Mutation,
  parseVariant,
  placeVariant,
  readVariant,
  type Site,
  singleSubstitutions,
  type Variant,
  VariantError,
} from './variants.js';
export { optimalWindow, overlappingWindows, WINDOW_MODES, type WindowMode, type WindowOptions } from './windows.js';
