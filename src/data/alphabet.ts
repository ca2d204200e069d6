import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../formats/atomicFile.js';
import { InputError } from './errors.js';

/** The alphabets of `--alphabet`: what a letter of a sequence is. */
export const ALPHABET_NAMES = ['protein', 'nucleotide', 'bytes'] as const;
export type AlphabetName = (typeof ALPHABET_NAMES)[number];

/** What a letter is called. */
export const UNITS = { protein: 'residue', nucleotide: 'base', bytes: 'byte' } as const;

/** Token ids, one element each: 16 bits where an alphabet has more than 256 tokens. */
export type Tokens = Uint8Array | Uint16Array;

/** The 20 standard amino acids, in the order of ESM's vocabulary. */
export const RESIDUES = 'LAGVSERTIDPKQNFYMHWC';

/** The four bases of DNA. */
export const BASES = 'ACGT';

/** IUPAC's codes of bases that are not known exactly, `N` any of them first. */
const AMBIGUOUS_BASES = 'NRYSWKMBDHV';

/** A byte's token, written as byte fallbacks of language models are (`<0x0A>`): a line of `vocab.txt` holds any. */
const byteToken = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
const BYTE_TOKENS = Array.from({ length: 256 }, (_, byte) => byteToken(byte));

/** The special tokens are where ESM has them. */
const vocabulary = (...letters: string[]) => ['<cls>', '<pad>', '<eos>', '<unk>', ...letters, '<mask>'];

/**
 * The vocabulary: which token has which id. A sequence is `<cls> letters <eos>`.
 *
 *     PROTEIN.encode('MKTVRQG')     // 0 20 15 11 7 10 16 6 2
 *     NUCLEOTIDE.encode('ACGU')     // 0 4 5 6 7 2
 *     BYTES.encode('hi')            // 0 108 109 2
 */
export class Alphabet {
  readonly name: AlphabetName;
  /** Tokens by id. */
  readonly tokens: readonly string[];
  readonly cls: number;
  readonly pad: number;
  readonly eos: number;
  readonly unk: number;
  readonly mask: number;
  /** Ids of the standard letters: the 20 amino acids, the four bases, or all bytes. */
  readonly residues: Tokens;
  /**
   * What is added to a token store's byte to make a token's id. Proteins and nucleotides are stored as their ids; bytes
   * as they are, so that the 256 of them fit although there are special tokens beside them.
   */
  readonly storedOffset: number;
  private readonly ids: ReadonlyMap<string, number>;
  /** Id of a letter by its character code, upper or lower case; `unk` for any other. */
  private readonly byCode: Tokens;
  private readonly letterFlags: Uint8Array;
  private readonly targetFlags: Uint8Array;

  /**
   * The alphabet follows from the tokens: `bytes` where one is `<0x00>`, `nucleotide` where the letters are bases.
   * @throws InputError where a token is missing, is there twice, or there are too many.
   */
  constructor(tokens: readonly string[], where = 'vocabulary') {
    this.tokens = [...tokens];
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    if (this.ids.size !== tokens.length) {
      const twice = tokens.find((token, id) => this.ids.get(token) !== id);
      throw new InputError(`${where}: token ${twice} is there twice; each token needs a line of its own`);
    }
    this.name = nameOf(this.ids);
    const most = this.name === 'bytes' ? 2 ** 16 : 256;
    if (tokens.length > most) {
      throw new InputError(`${where}: ${tokens.length} tokens; at most ${most} are possible`);
    }
    const id = (token: string) => {
      const found = this.ids.get(token);
      if (found === undefined) {
        const model = this.name === 'protein' ? 'a protein model' : `a model of the ${this.name} alphabet`;
        throw new InputError(`${where}: token ${token} is missing; is this ${model}?`);
      }
      return found;
    };
    this.cls = id('<cls>');
    this.pad = id('<pad>');
    this.eos = id('<eos>');
    this.unk = id('<unk>');
    this.mask = id('<mask>');
    const standard = { protein: [...RESIDUES], nucleotide: [...BASES], bytes: BYTE_TOKENS }[this.name];
    this.residues = this.array(standard.length);
    this.residues.set(standard.map(id));
    this.storedOffset = this.name === 'bytes' ? id(byteToken(0)) : 0;
    this.byCode = this.array(256).fill(this.unk);
    this.letterFlags = new Uint8Array(tokens.length);
    this.targetFlags = new Uint8Array(tokens.length);
    if (this.name === 'bytes') {
      const misplaced = this.residues.findIndex((letter, byte) => letter !== this.storedOffset + byte);
      if (misplaced !== -1) {
        throw new InputError(`${where}: token ${byteToken(misplaced)} does not follow that of the byte before it`);
      }
      this.byCode.set(this.residues);
      for (const letter of this.residues) {
        this.letterFlags[letter] = 1;
      }
    } else {
      tokens.forEach((token, index) => {
        if (token.length !== 1 || token.charCodeAt(0) > 127) {
          return;
        }
        this.byCode[token.charCodeAt(0)] = index;
        this.byCode[token.toLowerCase().charCodeAt(0)] = index;
        this.letterFlags[index] = 1;
      });
    }
    if (this.name === 'nucleotide') {
      // RNA's uracil is read as thymine.
      for (const letter of 'Uu') {
        this.byCode[letter.charCodeAt(0)] = id('T');
      }
      for (const base of this.residues) {
        this.targetFlags[base] = 1;
      }
    } else {
      this.targetFlags.set(this.letterFlags);
    }
  }

  /** Number of tokens. */
  get size(): number {
    return this.tokens.length;
  }

  /** Tokens of so many elements, all 0. */
  array(length: number): Tokens {
    return this.tokens.length > 256 ? new Uint16Array(length) : new Uint8Array(length);
  }

  /** Id of a token, or undefined. */
  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  /** Whether an id stands for one letter of a sequence, and not for a special token. */
  isLetter(id: number): boolean {
    return this.letterFlags[id] === 1;
  }

  /**
   * Whether a model learns to predict this token, and is judged by it: every letter of a protein and every byte, but of
   * nucleotides A, C, G and T alone. The N of a genome's gaps would be millions of certain answers.
   */
  isTarget(id: number): boolean {
    return this.targetFlags[id] === 1;
  }

  /**
   * `<cls> letters <eos>` as ids [length + 2]; lower case counts as upper case, unknown letters become `<unk>`. Bytes
   * come as a string of one character each (Node's `latin1`).
   */
  encode(sequence: string): Tokens {
    const ids = this.array(sequence.length + 2);
    ids[0] = this.cls;
    this.encodeInto(sequence, ids, 1);
    ids[sequence.length + 1] = this.eos;
    return ids;
  }

  /** The letters alone as ids [length]. */
  encodeResidues(sequence: string): Tokens {
    const ids = this.array(sequence.length);
    this.encodeInto(sequence, ids, 0);
    return ids;
  }

  private encodeInto(sequence: string, ids: Tokens, offset: number): void {
    const byCode = this.byCode;
    for (let i = 0; i < sequence.length; i++) {
      const code = sequence.charCodeAt(i);
      ids[offset + i] = code < 256 ? byCode[code] : this.unk;
    }
  }

  /** Tokens joined to text: letters as they are, bytes as one character each, special tokens as `<mask>` and so on. */
  decode(ids: Iterable<number>): string {
    let text = '';
    for (const id of ids) {
      const byte = this.name === 'bytes' && this.isLetter(id);
      text += byte ? String.fromCharCode(id - this.storedOffset) : (this.tokens[id] ?? '<unk>');
    }
    return text;
  }
}

/** Letters of proteins that are no code of a base. */
const NO_BASES = 'EFILPQ';

function nameOf(tokens: ReadonlyMap<string, number>): AlphabetName {
  if (tokens.has(byteToken(0))) {
    return 'bytes';
  }
  const has = (letters: string) => [...letters].filter((letter) => tokens.has(letter)).length;
  return has(BASES) === BASES.length && has(NO_BASES) === 0 ? 'nucleotide' : 'protein';
}

/** ESM's vocabulary: 33 tokens, in the order of its `vocab.txt`. */
export const PROTEIN = new Alphabet(vocabulary(...RESIDUES, ...'XBUZO.-', '<null_1>'));

/** DNA and RNA in IUPAC's letters: A, C, G, T, the ambiguous ones and gaps; U is T. */
export const NUCLEOTIDE = new Alphabet(vocabulary(...BASES, ...AMBIGUOUS_BASES, ...'.-'));

/** The 256 bytes, each a letter. */
export const BYTES = new Alphabet(vocabulary(...BYTE_TOKENS));

/** Our alphabets by name. */
export const ALPHABETS: Record<AlphabetName, Alphabet> = { protein: PROTEIN, nucleotide: NUCLEOTIDE, bytes: BYTES };

/**
 * Reads a model folder's `vocab.txt`: one token a line, its id is the line's index.
 * @throws InputError as the constructor of `Alphabet`.
 */
export async function readVocabulary(path: string): Promise<Alphabet> {
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/).map((line) => line.trim());
  while (lines.at(-1) === '') {
    lines.pop();
  }
  return new Alphabet(lines, path);
}

/** Writes `vocab.txt`, as Hugging Face's ESM tokenizer reads it. */
export async function writeVocabulary(path: string, alphabet: Alphabet): Promise<void> {
  await writeFileAtomic(path, `${alphabet.tokens.join('\n')}\n`);
}
