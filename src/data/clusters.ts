import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { InputError } from './errors.js';
import { namesOf } from './names.js';

/** A file of clusters as its program wrote it: MMseqs2's two columns, or CD-HIT's `.clstr`. */
export interface ClusterFile {
  /** Members by cluster; the first of MMseqs2's is the representative. */
  clusters: { name: string; members: string[] }[];
  /** Names of this length may be cut (CD-HIT without `-d 0`). */
  cut?: number;
}

/**
 * The clusters in a text, undefined where it has none: MMseqs2's `_cluster.tsv` (representative, tab, member), or CD-HIT's
 * `.clstr`.
 * @throws InputError with file and line, where a file of clusters is damaged
 */
export function parseClusters(text: string, path: string): ClusterFile | undefined {
  const lines = text.split(/\r\n|\r|\n/);
  return /^>Cluster \d+\s*$/.test(lines[0] ?? '') ? parseClstr(lines, path) : parsePairs(lines);
}

function parseClstr(lines: readonly string[], path: string): ClusterFile {
  const clusters: ClusterFile['clusters'] = [];
  let longest = 0;
  for (const [i, line] of lines.entries()) {
    if (/^>Cluster \d+\s*$/.test(line)) {
      clusters.push({ name: line.slice(1).trim(), members: [] });
      continue;
    }
    if (line.trim() === '') {
      continue;
    }
    const member = /^\d+\s+\d+(?:aa|nt), >(.*)\.\.\. (?:\*|at .*)$/.exec(line.trimEnd())?.[1];
    if (member === undefined) {
      throw new InputError(`${path}:${i + 1}: no line of CD-HIT's .clstr; the file is damaged, get it again`);
    }
    clusters[clusters.length - 1].members.push(member);
    longest = Math.max(longest, member.length);
  }
  return { clusters, cut: longest };
}

function parsePairs(lines: readonly string[]): ClusterFile | undefined {
  const byName = new Map<string, string[]>();
  const members = new Set<string>();
  for (const line of lines) {
    if (line === '') {
      continue;
    }
    const cells = line.split('\t');
    if (cells.length !== 2 || cells.some((cell) => cell === '' || /\s/.test(cell))) {
      return undefined;
    }
    const [name, member] = cells;
    members.add(member);
    const cluster = byName.get(name);
    if (cluster) {
      cluster.push(member);
    } else {
      byName.set(name, [member]);
    }
  }
  // A representative is a member of its cluster: other lists of pairs are no clusters.
  if (byName.size === 0 || ![...byName.keys()].every((name) => members.has(name))) {
    return undefined;
  }
  return { clusters: [...byName].map(([name, list]) => ({ name, members: list })) };
}

/** Which cluster each sequence belongs to, by the names that a program left of the headers. */
export class Clusters {
  /** Number of clusters. */
  readonly size: number;
  private readonly path: string;
  private readonly cut: number | undefined;
  private readonly names: string[];
  private readonly entries = new Map<string, { cluster: number; record?: string }>();
  private unmatched: number;

  private constructor(file: ClusterFile, path: string) {
    this.path = path;
    this.cut = file.cut;
    this.size = file.clusters.length;
    this.names = file.clusters.map(({ name, members }) => members[0] ?? name);
    for (const [cluster, { members }] of file.clusters.entries()) {
      for (const member of members) {
        const known = this.entries.get(member);
        if (known && known.cluster !== cluster) {
          throw new InputError(
            `${path}: ${member} is in two clusters${this.maybeCut(member)}; give each sequence a name of its own`,
          );
        }
        this.entries.set(member, { cluster });
      }
    }
    this.unmatched = this.entries.size;
  }

  /** @throws InputError where the file is no clustering, or a name stands in several clusters */
  static async read(path: string): Promise<Clusters> {
    const clusters = Clusters.parse(await readText(path), path);
    if (!clusters) {
      throw new InputError(
        `${path}: no clusters; MMseqs2's _cluster.tsv (representative, tab, member) or CD-HIT's .clstr is needed`,
      );
    }
    return clusters;
  }

  /** Undefined where a text is no clustering. */
  static parse(text: string, path: string): Clusters | undefined {
    const file = parseClusters(text, path);
    return file && new Clusters(file, path);
  }

  /**
   * The cluster of a record, from 0.
   * @throws InputError where none of the file's names is the record's, or one is another record's as well
   */
  of(description: string, where: string): number {
    const cluster = this.find(description, where);
    if (cluster === undefined) {
      throw new InputError(`${where}: in no cluster of ${this.path}; cluster the same sequences`);
    }
    return cluster;
  }

  /** As `of`, undefined where none of the names is the record's. */
  find(description: string, where: string): number | undefined {
    const entry = this.lookUp(description);
    if (!entry) {
      return undefined;
    }
    const [, { cluster, record }] = entry;
    if (record !== undefined && record !== where) {
      const [name] = entry;
      throw new InputError(
        `${this.path}: ${name} may be ${record} or ${where}${this.maybeCut(name)}; give the sequences names that differ ` +
          'and cluster them again',
      );
    }
    if (record === undefined) {
      entry[1].record = where;
      this.unmatched--;
    }
    return cluster;
  }

  /** What a cluster's split follows from: the name of its first member. */
  nameOf(cluster: number): string {
    return this.names[cluster];
  }

  /** @throws InputError where a name belongs to no record that was looked up */
  checkMatched(): void {
    if (this.unmatched === 0) {
      return;
    }
    const [name] = [...this.entries].find(([, { record }]) => record === undefined)!;
    throw new InputError(
      `${this.path}: ${this.unmatched.toLocaleString('en-US')} names are no sequence's (first: ${name})` +
        `${this.maybeCut(name)}; cluster the same sequences`,
    );
  }

  private lookUp(description: string): [string, { cluster: number; record?: string }] | undefined {
    const names = namesOf(description);
    if (this.cut !== undefined) {
      names.push(description.slice(0, this.cut));
    }
    for (const name of names) {
      const entry = this.entries.get(name);
      if (entry) {
        return [name, entry];
      }
    }
    return undefined;
  }

  private maybeCut(name: string): string {
    return name.length === this.cut ? ' (CD-HIT may have cut it: -d 0 keeps names whole)' : '';
  }
}

async function readText(path: string): Promise<string> {
  try {
    const bytes = await readFile(path);
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code}); check the path`);
  }
}
