import { readFile } from 'node:fs/promises';
import { normalize, sep } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { append } from './arrays.js';
import { InputError } from './errors.js';

/**
 * What is held out of training by name. An entry matches a record where it equals a word of the header (words end at
 * white space and `|`), or the beginning of a word up to a dot: `P12345` matches `>sp|P12345|NAME_HUMAN …`, the SCOP
 * superfamily `a.4.5` matches the family `a.4.5.5`, `OX=83333` matches an organism.
 */
export class Holdout {
  /** What was given, as it was given. */
  readonly given: string[];
  private readonly entries: Map<string, { matched: boolean }>;

  private readonly paths: boolean;

  private constructor(given: string[], entries: string[], paths = false) {
    this.given = given;
    this.paths = paths;
    this.entries = new Map(entries.map((entry) => [entry, { matched: false }]));
  }

  /**
   * Each of `given` is an entry, or a file of them: one a line (text after the first white space is a note, `#` begins
   * a comment), or a FASTA file, whose identifiers count; plain or gzip.
   */
  static async read(given: readonly string[]): Promise<Holdout> {
    const entries: string[] = [];
    for (const item of given) {
      const text = await readIfFile(item);
      if (text === undefined) {
        entries.push(item);
        continue;
      }
      const lines = text.split(/\r\n|\r|\n/);
      const isFasta = lines.some((line) => line.startsWith('>'));
      const words = lines
        .filter((line) => !isFasta || line.startsWith('>'))
        .map((line) => (isFasta ? line.slice(1) : line.replace(/#.*/, '')).trim().split(/\s+/)[0])
        .filter((word) => word !== '');
      if (words.length === 0) {
        throw new InputError(`${item}: no identifier to hold out; one a line is needed`);
      }
      append(entries, words);
    }
    return new Holdout([...given], entries);
  }

  /** Paths of files and folders, which hold out every record that is described by one of them, or by one below. */
  static ofPaths(given: readonly string[]): Holdout {
    return new Holdout(
      [...given],
      [...given].map((path) => normalize(`${path}/.`)),
      true,
    );
  }

  /** Whether there is anything to hold out. */
  get isEmpty(): boolean {
    return this.entries.size === 0;
  }

  /** Whether a record with this header is held out. */
  matches(description: string): boolean {
    if (this.isEmpty) {
      return false;
    }
    let found = false;
    const look = (text: string) => {
      const entry = this.entries.get(text);
      if (entry) {
        found = entry.matched = true;
      }
    };
    if (this.paths) {
      const path = normalize(description);
      for (let end = path.length; end > 0; end = path.lastIndexOf(sep, end - 1)) {
        look(path.slice(0, end));
      }
      return found;
    }
    for (const part of description.split(/\s+/)) {
      look(part);
      for (const word of part.split('|')) {
        look(word);
        for (let dot = word.lastIndexOf('.'); dot > 0; dot = word.lastIndexOf('.', dot - 1)) {
          look(word.slice(0, dot));
        }
      }
    }
    return found;
  }

  /** Entries that matched no record so far. */
  unmatched(): string[] {
    return [...this.entries].filter(([, { matched }]) => !matched).map(([entry]) => entry);
  }
}

/** What the system says of a name that is no file's. */
const NO_FILE = new Set<string | undefined>(['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG']);

async function readIfFile(path: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (NO_FILE.has(code)) {
      return undefined;
    }
    throw code?.startsWith('Z_') ? new InputError(`${path}: the gzip file is damaged; get it again`) : error;
  }
}
