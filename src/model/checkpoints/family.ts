import type { Alphabet } from '../../data/alphabet.js';
import type { Weights } from '../../formats/weights.js';
import type { Architecture } from '../architecture.js';
import type { ModelConfig } from '../config.js';
import type { ParameterSpec } from '../parameters.js';
import type { TensorView } from './views.js';

/** What a family of checkpoints says of its files: how they are read, and written where we write them. */
export interface CheckpointFamily {
  /** What it calls itself in `model_type` of config.json; none where its files come without one. */
  modelTypes: readonly string[];
  /**
   * A configuration from the fields of config.json. Its `model_type` is that of the family that it is saved as.
   * @param where names the file in errors
   * @throws InputError naming the field and its value
   */
  readConfig(fields: Record<string, unknown>, where: string): ModelConfig;
  /** The fields of config.json that weights of this family stand for which come without; undefined for any others. */
  recognise?(weights: Weights): Record<string, unknown> | undefined;
  /** The fields of config.json that `readConfig` makes the same configuration of. */
  writeConfig(config: ModelConfig): Record<string, unknown>;
  /** What the network is made of that a configuration of this family stands for. */
  architecture(config: ModelConfig): Architecture;
  /**
   * Names of the tensors of a checkpoint that a parameter is made of, stacked along the first axis. An attention's own
   * parameters are `layers.{i}.attention.{name}`.
   */
  tensorsOf(parameter: ParameterSpec): string[];
  /**
   * What a stored tensor is under the names of the family that the model is saved as: where it goes by several names, or
   * others are fused in it. Default: itself.
   */
  view?(name: string, shape: readonly number[], config: ModelConfig): TensorView[];
  /** What is written for a parameter that a model does without, where other readers would draw it at random. */
  placeholder?(parameter: ParameterSpec, config: ModelConfig): Float32Array | undefined;
  /** Files beside those of the weights that hold more of them. */
  companions?(path: string): string[];
  /** The vocabulary of a folder that has no vocab.txt, where it is not that of the configuration's alphabet. */
  readVocabulary?(folder: string): Promise<Alphabet>;
  /** Files with the vocabulary, beside vocab.txt: their names and what is in them. */
  vocabularyFiles?(alphabet: Alphabet): Record<string, string>;
}
