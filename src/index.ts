export * from './alignment/index.js';
export {
  ALPHABETS,
  Alphabet,
  type AlphabetName,
  BYTES,
  NUCLEOTIDE,
  PROTEIN,
  RESIDUES,
  readVocabulary,
  type Tokens,
  writeVocabulary,
} from './data/alphabet.js';
export {
  type BatchCursor,
  type BatchOptions,
  bucketLengths,
  type EvaluationBatchOptions,
  evaluationBatches,
  microBatches,
  type Objective,
  type TokenBatch,
  type TrainingBatch,
  type TrainingBatchOptions,
  trainingBatches,
} from './data/batches.js';
export { type BuildOptions, type BuildProgress, buildStore, type SplitOptions } from './data/build.js';
export type { FileSource } from './data/byteStream.js';
export { cacheFolder, cacheStore } from './data/cache.js';
export { InputError } from './data/errors.js';
export { type FastaOptions, FastaRecord, type FastaSource, readFasta } from './data/fasta.js';
export type { InvalidLetters, LetterOptions, SequenceRecord } from './data/letters.js';
export { type MaskedTokens, type MaskingOptions, maskForEvaluation, maskForTraining } from './data/masking.js';
export { readNucleotides } from './data/nucleotides.js';
export { type ProteinOptions, type ProteinRecord, readProteins } from './data/proteins.js';
export { Random, type RandomState } from './data/random.js';
export { type ReadingOptions, readSequences } from './data/reading.js';
export {
  type BionodeRecord,
  SequenceStream,
  type StreamedSequence,
  sequencesFrom,
} from './data/sequenceStream.js';
export { type SequenceSource, sequencesInMemory } from './data/sequences.js';
export {
  type FastaStatistics,
  fastaStatistics,
  type SequenceStatistics,
  storeStatistics,
} from './data/statistics.js';
export { openStore, type SplitName, type StoreManifest, TokenStore } from './data/store.js';
export { Warnings } from './data/warnings.js';
export { type Device, type Engine, type EngineOptions, probeEngines, startEngine } from './engines/index.js';
export * from './interpret/index.js';
export type { Attention, AttentionParameter } from './model/attention/attention.js';
export {
  ATTENTION_KINDS,
  type AttentionConfig,
  type AttentionKind,
  type Conversion,
  type ModelConfig,
  type NewModelOptions,
  newConfig,
  PRESETS,
  parseConfig,
} from './model/config.js';
export { convertModel } from './model/convert.js';
export { loadModel, saveModel } from './model/files.js';
export { createModel, type EncodeOptions, LanguageModel } from './model/model.js';
export * from './report/index.js';
export { type Aggregate, type AggregateRow, aggregateAssays } from './scoring/aggregate.js';
export {
  type Assay,
  type AssayOptions,
  type PlacementOptions,
  placeRows,
  readAssay,
  readWildType,
} from './scoring/assay.js';
export {
  type AssayFile,
  type BenchmarkOptions,
  type BenchmarkResult,
  benchmarkAssay,
  findAssays,
} from './scoring/benchmark.js';
export { type BenchmarkedAssay, benchmarkTable } from './scoring/benchmarkTable.js';
export { type BootstrapOptions, bootstrapSpearman, type Interval } from './scoring/bootstrap.js';
export {
  type EmbeddingOptions,
  embedSequences,
  type Pool,
  type Pooling,
  poolHiddenStates,
} from './scoring/embeddings.js';
export {
  type AssayHead,
  crossValidate,
  fitAssayHead,
  METHODS,
  type Method,
  predictAssayHead,
} from './scoring/heads/assayHead.js';
export {
  type Classification,
  classify,
  evaluateClasses,
  type LabelledSequences,
  labelledExamples,
  readLabelled,
  trainClassifier,
} from './scoring/heads/classifier.js';
export {
  type ClassEvaluation,
  type CrossValidationOptions,
  crossValidateAssay,
  crossValidateClasses,
  type HeadEvaluation,
  methodFits,
  splitFits,
  type TrainingVariants,
  trainingVariants,
} from './scoring/heads/crossValidation.js';
export { VariantFeatures } from './scoring/heads/features.js';
export { assignFolds, type Split } from './scoring/heads/folds.js';
export {
  type Example,
  GradientHead,
  type GradientOptions,
  snapshotParameters,
  trainGradientHead,
} from './scoring/heads/gradientHead.js';
export { loadHead, saveHead } from './scoring/heads/headFiles.js';
export { fitRidge, fitSparseRidge } from './scoring/heads/ridge.js';
export { type InferenceOptions, type Reading, readLogProbabilities } from './scoring/inference.js';
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
} from './scoring/metrics.js';
export { type Mutations, readMutations } from './scoring/mutations.js';
export {
  type Cell,
  checkScan,
  type ScannedSequence,
  type ScanOptions,
  type Scorer,
  scanColumns,
  scanFasta,
} from './scoring/scan.js';
export {
  defaultScheme,
  type Likelihood,
  logLikelihoods,
  SCHEMES,
  type Scheme,
  type ScoreOptions,
  scoreSequence,
  scoreVariants,
  unscorable,
} from './scoring/schemes.js';
export { type ColumnNames, readTable, type VariantRow, variantRows } from './scoring/tables.js';
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
} from './scoring/variants.js';
export { optimalWindow, overlappingWindows, type WindowMode, type WindowOptions } from './scoring/windows.js';
export {
  AREA_TABLES,
  type AreaTable,
  RESIDUE_AREAS,
  relativeAccessibility,
  type SolventOptions,
  solventAreas,
} from './structures/solvent.js';
export {
  type Chain,
  contactPairs,
  readChain,
  readStructure,
  type StructureAtom,
  type StructureResidue,
} from './structures/structure.js';
export { type Checkpoint, latestCheckpoint, listCheckpoints, type TrainingState } from './training/checkpoint.js';
export { type Evaluation, type EvaluationOptions, evaluate, residueFrequencies } from './training/evaluate.js';
export { type Figures, figuresOf, type MetricsLine, MetricsLog, type Tally } from './training/metrics.js';
export { Optimizer } from './training/optimizer.js';
export {
  type Budget,
  type Cadence,
  changeRecipe,
  type OptimizerOptions,
  PAPER_OPTIMIZER,
  RECIPES,
  type Recipe,
} from './training/recipe.js';
export {
  resumeTraining,
  startTraining,
  type Training,
  type TrainingResult,
  type TrainingStatus,
  type TrainOptions,
  train,
} from './training/run.js';
export { learningRateAt, type Schedule, type ScheduleOptions } from './training/schedule.js';
export {
  type Pass,
  passGradients,
  passLoss,
  type StepOptions,
  type StepResult,
  trainingStep,
} from './training/step.js';
