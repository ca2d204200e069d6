import { readFile } from 'node:fs/promises';
import { normalize, sep } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { append } from './arrays.js';
import { Clusters } from './clusters.js';
import { InputError } from './errors.js';
import { isoformOf, namesOf, titlesOf } from './names.js';

/**
 * What is held out of training by name. An entry matches a record where it equals a word of the header (words end at
 * white space, `|` and NCBI's Ctrl-A), the beginning of a word up to a dot, or another name of the record (`namesOf`):
 * `P12345` matches `>sp|P12345|NAME_HUMAN …`, its isoform `P12345-2` and `UniRef50_P12345`, the SCOP superfamily `a.4.5`
 * matches the family `a.4.5.5`, `OX=83333` matches an organism. A file of clusters holds out all of their members.
 */
export class Holdout {
  /** What was given, as it was given. */
  readonly given: string[];
  private readonly entries: Map<string, { matched: boolean }>;

  private readonly paths: boolean;
  private readonly clusters: readonly Clusters[];

  private constructor(given: string[], entries: string[], clusters: readonly Clusters[] = [], paths = false) {
    this.given = given;
    this.paths = paths;
    this.clusters = clusters;
    this.entries = new Map(entries.map((entry) => [entry, { matched: false }]));
  }

  /**
   * Each of `given` is an entry, or a file of them: one a line (text after the first white space is a note, `#` begins
   * a comment), a FASTA file, whose identifiers count, or the clusters of MMseqs2 or CD-HIT; plain or gzip.
   */
  static async read(given: readonly string[]): Promise<Holdout> {
    const entries: string[] = [];
    const clusters: Clusters[] = [];
    for (const item of given) {
      const text = await readIfFile(item);
      if (text === undefined) {
        entries.push(item);
        continue;
      }
      const found = Clusters.parse(text, item);
      if (found) {
        clusters.push(found);
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
    return new Holdout([...given], entries, clusters);
  }

  /** Paths of files and folders, which hold out every record that is described by one of them, or by one below. */
  static ofPaths(given: readonly string[]): Holdout {
    return new Holdout(
      [...given],
      [...given].map((path) => normalize(`${path}/.`)),
      [],
      true,
    );
  }

  /** Whether there is anything to hold out. */
  get isEmpty(): boolean {
    return this.entries.size === 0 && this.clusters.length === 0;
  }

  /**
   * Whether a record with this header is held out.
   * @param where names it in errors
   * @throws InputError where a name in a file of clusters may be this record's or another's
   */
  matches(description: string, where: string): boolean {
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
    for (const one of this.clusters) {
      found = one.find(description, where) !== undefined || found;
    }
    if (this.entries.size === 0) {
      return found;
    }
    for (const title of titlesOf(description)) {
      for (const part of title.split(/\s+/)) {
        look(part);
        for (const word of part.split('|')) {
          look(word);
          for (let dot = word.lastIndexOf('.'); dot > 0; dot = word.lastIndexOf('.', dot - 1)) {
            look(word.slice(0, dot));
          }
        }
      }
    }
    for (const name of namesOf(description)) {
      look(name);
      const accession = isoformOf(name);
      if (accession !== undefined) {
        look(accession);
      }
    }
    return found;
  }

  /** @throws InputError where a name in a file of clusters matched no record so far */
  checkClusters(): void {
    for (const one of this.clusters) {
      one.checkMatched();
    }
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
