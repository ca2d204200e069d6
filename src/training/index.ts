/// <reference types="long" preserve="true" />
export { type Checkpoint, latestCheckpoint, listCheckpoints, type TrainingState } from './checkpoint.js';
export type { ComparisonResults, ComparisonRow, CurvePoint, Spread } from './comparison/results.js';
export { type Evaluation, type EvaluationOptions, evaluate, residueFrequencies } from './evaluate.js';
export { type Loop, type Observer, type Progress, runLoop } from './loop.js';
export { type Figures, figuresOf, type MetricsLine, MetricsLog, type Tally } from './metrics.js';
export { initialModel, type NewRun, type NewRunOptions, newRun } from './newRun.js';
export { Optimizer } from './optimizer.js';
export {
  type Budget,
  type Cadence,
  changeRecipe,
  type OptimizerOptions,
  PAPER_OPTIMIZER,
  type Preset,
  RECIPES,
  type Recipe,
} from './recipe.js';
export {
  DivergenceError,
  resumeTraining,
  startTraining,
  type Training,
  type TrainingResult,
  type TrainingStatus,
  type TrainOptions,
  train,
} from './run.js';
export { learningRateAt, type Schedule, type ScheduleOptions } from './schedule.js';
export {
  type Pass,
  passGradients,
  passLoss,
  type Reduce,
  type StepGradients,
  type StepOptions,
  type StepResult,
  stepGradients,
  trainingStep,
} from './step.js';
