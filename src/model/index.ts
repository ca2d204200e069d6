/// <reference types="long" preserve="true" />
export type { Architecture } from './architecture.js';
export type {
  Attention,
  AttentionKind,
  AttentionParameter,
  AttentionRows,
  AttentionShape,
} from './attention/attention.js';
export { ATTENTION_KINDS, attentionKind, registerAttention } from './attention/index.js';
export type { AttentionConfig, AttentionOption, AttentionOptions } from './attention/options.js';
export type { CheckpointFamily } from './checkpoints/family.js';
export { parseConfig, registerFamily } from './checkpoints/index.js';
export { type ModelConfig, type NewModelOptions, newConfig } from './config.js';
export { type Conversion, convertModel } from './convert.js';
export { loadModel, readModelConfig, saveModel } from './files.js';
export { createModel, type EncodeOptions, LanguageModel } from './model.js';
export type { ParameterSpec } from './parameters.js';
export { type ModelSizes, PRESETS } from './presets.js';
