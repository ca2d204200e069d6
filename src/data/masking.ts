import { type Alphabet, PROTEIN } from './alphabet.js';
import { hash32, Random } from './random.js';

/** Tokens with some positions hidden, and what was there. */
export interface MaskedTokens {
  /** [L], the model's input */
  ids: Uint8Array;
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
 * selected 80 % become `<mask>`, 10 % one of the 20 residues at random, 10 % stay. Special tokens are never selected.
 */
export function maskForTraining(tokens: Uint8Array, random: Random, options: MaskingOptions = {}): MaskedTokens {
  const { maskShare = 0.8, randomShare = 0.1, alphabet = PROTEIN } = options;
  const masked = select(tokens, random, options);
  for (const position of masked.positions) {
    const u = random.uniform();
    if (u < maskShare) masked.ids[position] = alphabet.mask;
    else if (u < maskShare + randomShare) {
      masked.ids[position] = alphabet.residues[random.int(alphabet.residues.length)]!;
    }
  }
  return masked;
}

/**
 * Masking for evaluation: every selected position becomes `<mask>`. Which ones depends on the letters and the seed
 * alone, so a sequence is always judged on the same positions, whatever its batch. A sequence with a letter has at
 * least one selected.
 */
export function maskForEvaluation(tokens: Uint8Array, seed: number, options: MaskingOptions = {}): MaskedTokens {
  const { alphabet = PROTEIN } = options;
  const letters = tokens.filter((id) => alphabet.isLetter(id));
  const random = new Random(seed, hash32(letters));
  const masked = select(tokens, random, options);
  if (masked.positions.length === 0 && letters.length > 0) {
    let nth = random.int(letters.length);
    const position = tokens.findIndex((id) => alphabet.isLetter(id) && nth-- === 0);
    masked.positions.push(position);
    masked.labels.push(tokens[position]!);
  }
  for (const position of masked.positions) masked.ids[position] = alphabet.mask;
  return masked;
}

function select(tokens: Uint8Array, random: Random, options: MaskingOptions): MaskedTokens {
  const { rate = 0.15, alphabet = PROTEIN } = options;
  const positions: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const id = tokens[i]!;
    if (!alphabet.isLetter(id) || random.uniform() >= rate) continue;
    positions.push(i);
    labels.push(id);
  }
  return { ids: tokens.slice(), positions, labels };
}
