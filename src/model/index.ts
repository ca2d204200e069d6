export type { Attention, AttentionParameter } from './attention/attention.js';
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
} from './config.js';
export { convertModel } from './convert.js';
export { loadModel, readModelConfig, saveModel } from './files.js';
export { createModel, type EncodeOptions, LanguageModel } from './model.js';
