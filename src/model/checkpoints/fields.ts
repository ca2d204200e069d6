import { InputError } from '../../data/errors.js';

/** What a family makes of the fields of config.json. */
export interface FieldRules {
  /** Those that it reads. */
  used: readonly string[];
  /** Those that change the network and are not built: the only values, as JSON, that leave it as it is. */
  only?: Readonly<Record<string, readonly string[]>>;
  /** Those that change nothing, beside the ones of any of Hugging Face's models. */
  inert?: readonly string[];
}

/** Fields of every configuration of Hugging Face that change neither what is computed nor how it is read. */
const INERT = new Set([
  'add_pooling_layer',
  'architectures',
  'auto_map',
  'bad_words_ids',
  'bos_token_id',
  'chunk_size_feed_forward',
  'classifier_dropout',
  'custom_pipelines',
  'decoder_start_token_id',
  'dtype',
  'eos_token_id',
  'esmfold_config',
  'finetuning_task',
  'gradient_checkpointing',
  'id2label',
  'initializer_range',
  'label2id',
  'mask_token_id',
  'model_type',
  'name_or_path',
  '_name_or_path',
  '_attn_implementation',
  '_attn_implementation_autoset',
  '_commit_hash',
  'num_labels',
  'output_attentions',
  'output_hidden_states',
  'pad_token_id',
  'prefix',
  'problem_type',
  'return_dict',
  'sep_token_id',
  'task_specific_params',
  'tokenizer_class',
  'torch_dtype',
  'torchscript',
  'transformers_version',
  'unk_token_id',
  'use_bfloat16',
  'use_cache',
  'vocab_list',
]);

/** Fields of every configuration of Hugging Face that would change the network. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  add_cross_attention: ['false'],
  cross_attention_hidden_size: [],
  is_decoder: ['false'],
  is_encoder_decoder: ['false'],
  is_folding_model: ['false'],
  pruned_heads: ['{}'],
  quantization_config: [],
  rope_scaling: [],
  tie_encoder_decoder: ['false'],
};

/** What to do about a value that means another network. */
const ADVICE: Record<string, string> = {
  is_decoder: 'it would run in both directions here: a causal model says so in "attention": {"causal": true}',
  quantization_config: 'its weights are integers of a scheme that is not read: save it dequantized first',
  rope_scaling: 'only plain rotary positions are built',
};

/**
 * Checks that every field of a configuration is read, or known to change nothing: one that would change what the model
 * computes, were it looked at, must not pass in silence. Fields that are null say nothing.
 * @param where names the file in errors
 * @throws InputError naming the field and its value
 */
export function checkFields(fields: Record<string, unknown>, rules: FieldRules, where: string): void {
  const only = { ...ONLY, ...rules.only };
  for (const [name, value] of Object.entries(fields)) {
    if (value === null || value === undefined || rules.used.includes(name)) {
      continue;
    }
    const shown = JSON.stringify(value);
    const given = `${where}: ${name} is ${shown.length > 80 ? `${shown.slice(0, 80)}…` : shown}`;
    if (Object.hasOwn(only, name)) {
      if (!only[name].includes(shown)) {
        const allowed = [...only[name], 'left out'].join(' or ');
        throw new InputError(`${given}: it must be ${allowed}: ${ADVICE[name] ?? 'another network is not built here'}`);
      }
    } else if (!INERT.has(name) && !rules.inert?.includes(name)) {
      throw new InputError(
        `${given}: what it changes is not known here; remove it if the model computes the same without it`,
      );
    }
  }
}
