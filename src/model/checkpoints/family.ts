import type { Architecture } from '../architecture.js';
import type { ModelConfig } from '../config.js';
import type { ParameterSpec } from '../parameters.js';

/** What a family of checkpoints says of its files: how they are read, and written where we write them. */
export interface CheckpointFamily {
  /** What it calls itself in `model_type` of config.json. */
  modelTypes: readonly string[];
  /**
   * A configuration from the fields of config.json.
   * @param where names the file in errors
   * @throws InputError naming the field and its value
   */
  readConfig(fields: Record<string, unknown>, where: string): ModelConfig;
  /** The fields of config.json that `readConfig` makes the same configuration of. */
  writeConfig(config: ModelConfig): Record<string, unknown>;
  /** What the network is made of that a configuration of this family stands for. */
  architecture(config: ModelConfig): Architecture;
  /**
   * Names of the tensors of a checkpoint that a parameter is made of, stacked along the first axis. An attention's own
   * parameters are `layers.{i}.attention.{name}`.
   */
  tensorsOf(parameter: ParameterSpec): string[];
  /** What a tensor that goes by several names, or is written for several layers, is called in `tensorsOf`. */
  canonical?(tensor: string): string;
}
