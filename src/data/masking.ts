import { type Alphabet, PROTEIN, type Tokens } from './alphabet.js';
import { hash32, Random } from './random.js';

/** Tokens with some positions hidden, and what was there. */
export interface MaskedTokens {
  /** [L], the model's input */
  ids: Tokens;
  /** [N], indices into `ids` of the positions to predict, ascending */
  positions: number[];
  /** [N], the tokens that were there */
  labels: number[];
}

export interface MaskingOptions {
  /** Share of the letters that are selected; default 0.15. */
  rate?: number;
  /** Share of the selected that become `<mask>` in training; default 0.8. */
  maskShare?: number;
  /** Share of the selected that become a random residue in training; default 0.1. The rest keep their token. */
  randomShare?: number;
  alphabet?: Alphabet;
}

/**
 * Masking for training (BERT, Devlin et al. 2019, section 3.1): each letter is selected with probability 0.15; of the
 * selected 80 % become `<mask>`, 10 % one of the standard letters at random, 10 % stay. Only the alphabet's targets are selected.
 */
export function maskForTraining(tokens: Tokens, random: Random, options: MaskingOptions = {}): MaskedTokens {
  const { maskShare = 0.8, randomShare = 0.1, alphabet = PROTEIN } = options;
  const masked = select(tokens, random, options);
  for (const position of masked.positions) {
    const u = random.uniform();
    if (u < maskShare) {
      masked.ids[position] = alphabet.mask;
    } else if (u < maskShare + randomShare) {
      masked.ids[position] = alphabet.residues[random.int(alphabet.residues.length)];
    }
  }
  return masked;
}

/**
 * Masking for evaluation: every selected position becomes `<mask>`. Which ones depends on the letters and the seed
 * alone, so a sequence is always judged on the same positions, whatever its batch. A sequence with a target has at
 * least one selected.
 */
export function maskForEvaluation(tokens: Tokens, seed: number, options: MaskingOptions = {}): MaskedTokens {
  const { alphabet = PROTEIN } = options;
  const letters = tokens.filter((id) => alphabet.isLetter(id));
  const random = new Random(seed, hash32(Uint8Array.from(letters)));
  const masked = select(tokens, random, options);
  const targets = masked.positions.length > 0 ? 0 : letters.filter((id) => alphabet.isTarget(id)).length;
  if (targets > 0) {
    let nth = random.int(targets);
    const position = tokens.findIndex((id) => alphabet.isTarget(id) && nth-- === 0);
    masked.positions.push(position);
    masked.labels.push(tokens[position]);
  }
  for (const position of masked.positions) {
    masked.ids[position] = alphabet.mask;
  }
  return masked;
}

function select(tokens: Tokens, random: Random, options: MaskingOptions): MaskedTokens {
  const { rate = 0.15, alphabet = PROTEIN } = options;
  const positions: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const id = tokens[i];
    if (!alphabet.isTarget(id) || random.uniform() >= rate) {
      continue;
    }
    positions.push(i);
    labels.push(id);
  }
  return { ids: tokens.slice(), positions, labels };
}
