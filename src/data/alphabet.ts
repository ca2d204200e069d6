import { readFile } from 'node:fs/promises';
import { InputError } from './errors.js';
import { writeFileAtomic } from './files.js';

/** The 20 standard amino acids, in the order of ESM's vocabulary. */
export const RESIDUES = 'LAGVSERTIDPKQNFYMHWC';

/** ESM's 33 tokens, in the order of its `vocab.txt`. */
const ESM_TOKENS = ['<cls>', '<pad>', '<eos>', '<unk>', ...RESIDUES, ...'XBUZO.-', '<null_1>', '<mask>'];

/**
 * The vocabulary: which token has which id. A sequence is `<cls> residues <eos>`.
 *
 *     PROTEIN.encode('MKTVRQG')  // 0 20 15 11 7 10 16 6 2
 */
export class Alphabet {
  /** Tokens by id. */
  readonly tokens: readonly string[];
  readonly cls: number;
  readonly pad: number;
  readonly eos: number;
  readonly unk: number;
  readonly mask: number;
  /** Ids of the 20 standard amino acids. */
  readonly residues: Uint8Array;
  readonly #ids: ReadonlyMap<string, number>;
  /** Id of a letter by its character code, upper or lower case; `unk` for any other. */
  readonly #byCode: Uint8Array;
  readonly #isLetter: Uint8Array;

  /** @throws InputError where a token is missing, is there twice, or there are more than 256. */
  constructor(tokens: readonly string[], where = 'vocabulary') {
    this.tokens = [...tokens];
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    if (this.#ids.size !== tokens.length) {
      const twice = tokens.find((token, id) => this.#ids.get(token) !== id);
      throw new InputError(`${where}: token ${twice} is there twice; each token needs a line of its own`);
    }
    if (tokens.length > 256) throw new InputError(`${where}: ${tokens.length} tokens; at most 256 are possible`);
    const id = (token: string) => {
      const found = this.#ids.get(token);
      if (found === undefined) throw new InputError(`${where}: token ${token} is missing; is this a protein model?`);
      return found;
    };
    this.cls = id('<cls>');
    this.pad = id('<pad>');
    this.eos = id('<eos>');
    this.unk = id('<unk>');
    this.mask = id('<mask>');
    this.residues = Uint8Array.from(RESIDUES, id);
    this.#byCode = new Uint8Array(256).fill(this.unk);
    this.#isLetter = new Uint8Array(256);
    tokens.forEach((token, index) => {
      if (token.length !== 1 || token.charCodeAt(0) > 127) return;
      this.#byCode[token.charCodeAt(0)] = index;
      this.#byCode[token.toLowerCase().charCodeAt(0)] = index;
      this.#isLetter[index] = 1;
    });
  }

  /** Number of tokens. */
  get size(): number {
    return this.tokens.length;
  }

  /** Id of a token, or undefined. */
  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  /** Whether an id stands for one letter of a sequence, and not for a special token. */
  isLetter(id: number): boolean {
    return this.#isLetter[id] === 1;
  }

  /** `<cls> residues <eos>` as ids [length + 2]; lower case counts as upper case, unknown letters become `<unk>`. */
  encode(sequence: string): Uint8Array {
    const ids = new Uint8Array(sequence.length + 2);
    ids[0] = this.cls;
    this.encodeInto(sequence, ids, 1);
    ids[sequence.length + 1] = this.eos;
    return ids;
  }

  /** The residues alone as ids [length]. */
  encodeResidues(sequence: string): Uint8Array {
    const ids = new Uint8Array(sequence.length);
    this.encodeInto(sequence, ids, 0);
    return ids;
  }

  private encodeInto(sequence: string, ids: Uint8Array, offset: number): void {
    const byCode = this.#byCode;
    for (let i = 0; i < sequence.length; i++) {
      const code = sequence.charCodeAt(i);
      ids[offset + i] = code < 256 ? byCode[code]! : this.unk;
    }
  }

  /** Tokens joined to text: residues as letters, special tokens as `<mask>` and so on. */
  decode(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) text += this.tokens[id] ?? '<unk>';
    return text;
  }
}

/** ESM's vocabulary. */
export const PROTEIN = new Alphabet(ESM_TOKENS);

/**
 * Reads a model folder's `vocab.txt`: one token a line, its id is the line's index.
 * @throws InputError as the constructor of `Alphabet`.
 */
export async function readVocabulary(path: string): Promise<Alphabet> {
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/).map((line) => line.trim());
  while (lines.at(-1) === '') lines.pop();
  return new Alphabet(lines, path);
}

/** Writes `vocab.txt`, as Hugging Face's ESM tokenizer reads it. */
export async function writeVocabulary(path: string, alphabet: Alphabet): Promise<void> {
  await writeFileAtomic(path, `${alphabet.tokens.join('\n')}\n`);
}
