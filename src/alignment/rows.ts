import { describeReadError, readBytes } from '../data/byteStream.js';
import { InputError } from '../data/errors.js';
import { readFasta } from '../data/fasta.js';

/** One row of an alignment file, as it is written there. */
export interface AlignmentRow {
  /** The name's first word. */
  id: string;
  /** The row's letters and gaps, lower case included, of all the blocks that it is written in. */
  text: string;
  /** Line of its header, or of its first block. */
  line: number;
}

export const ALIGNMENT_FORMATS = ['fasta', 'stockholm', 'clustal'] as const;
/** `fasta` stands for aligned FASTA, a2m and a3m alike. */
export type AlignmentFormat = (typeof ALIGNMENT_FORMATS)[number];

/** What programs write first into CLUSTAL's format. */
const CLUSTAL = /^(CLUSTAL|MUSCLE|PROBCONS|MSAPROBS|Kalign|T-COFFEE|MAFFT)/i;
/** Bytes that the format shows in. */
const HEAD = 1 << 12;

/**
 * The format of an alignment file, plain or gzip, by its first line that is not blank.
 * @throws InputError where the file is empty or begins as none of them does
 */
export async function alignmentFormat(path: string): Promise<AlignmentFormat> {
  const head = (await firstText(path)).trimStart();
  if (head === '') {
    throw new InputError(`${path}: empty, no alignment in it; give an a3m, a2m, FASTA, Stockholm or CLUSTAL file`);
  }
  if (/^# *STOCKHOLM/i.test(head)) {
    return 'stockholm';
  }
  // A3m files may begin with comment lines (ColabFold's tell the lengths of the chains).
  if (head.startsWith('>') || head.startsWith('#')) {
    return 'fasta';
  }
  if (CLUSTAL.test(head)) {
    return 'clustal';
  }
  const line = head.split(/[\r\n]/, 1)[0];
  const shown = JSON.stringify(line.length > 40 ? `${line.slice(0, 40)}…` : line);
  throw new InputError(`${path}:1: begins with ${shown}; give an a3m, a2m, FASTA, Stockholm or CLUSTAL alignment`);
}

/**
 * The rows of an alignment file, in its order: FASTA, a2m and a3m one after the other, in memory for one of them;
 * Stockholm and CLUSTAL, whose rows may go on in later blocks, after the last line.
 * @throws InputError with file and line
 */
export async function* readRows(path: string, format: AlignmentFormat): AsyncGenerator<AlignmentRow, void, undefined> {
  if (format === 'fasta') {
    for await (const { id, sequence, line, number } of readFasta(path)) {
      yield { id: id || `row_${number}`, text: sequence, line };
    }
    return;
  }
  const rows = new Map<string, { pieces: string[]; line: number }>();
  for await (const { id, text, line } of format === 'stockholm' ? stockholmPieces(path) : clustalPieces(path)) {
    const row = rows.get(id);
    if (row) {
      row.pieces.push(text);
    } else {
      rows.set(id, { pieces: [text], line });
    }
  }
  for (const [id, { pieces, line }] of rows) {
    yield { id, text: pieces.join(''), line };
    rows.delete(id);
  }
}

/** Rows of Stockholm 1.0: annotation begins with `#`, `//` ends the alignment. */
async function* stockholmPieces(path: string): AsyncGenerator<AlignmentRow, void, undefined> {
  let ended = false;
  for await (const { text, line } of readLines(path)) {
    if (text.startsWith('//')) {
      ended = true;
    } else if (ended && text.trim() !== '') {
      throw new InputError(`${path}:${line}: a second alignment; give a file with one`);
    } else if (text.trim() !== '' && !text.startsWith('#')) {
      yield pieceOf(text, path, line);
    }
  }
  if (!ended) {
    throw new InputError(`${path}: ends without //; it is truncated, get it again`);
  }
}

/** Rows of CLUSTAL's blocks; lines of conservation marks begin with a space. */
async function* clustalPieces(path: string): AsyncGenerator<AlignmentRow, void, undefined> {
  let header = true;
  for await (const { text, line } of readLines(path)) {
    if (text.trim() === '') {
      continue;
    }
    if (header) {
      header = false;
    } else if (!/^\s/.test(text)) {
      yield pieceOf(text.replace(/\s+\d+\s*$/, ''), path, line);
    }
  }
}

function pieceOf(text: string, path: string, line: number): AlignmentRow {
  const [id, ...letters] = text.trim().split(/\s+/);
  if (letters.length === 0) {
    throw new InputError(
      `${path}:${line}: ${JSON.stringify(id)} has no row beside it; a line is a name and its letters`,
    );
  }
  return { id, text: letters.join(''), line };
}

async function firstText(path: string): Promise<string> {
  try {
    for await (const chunk of readBytes(path)) {
      const text = chunk.toString('utf8', 0, HEAD).replace(/^\ufeff/, '');
      if (text.trim() !== '') {
        return text;
      }
    }
    return '';
  } catch (error) {
    throw describeReadError(error, path, 'its beginning');
  }
}

async function* readLines(path: string): AsyncGenerator<{ text: string; line: number }, void, undefined> {
  let line = 0;
  let rest = '';
  try {
    for await (const chunk of readBytes(path)) {
      const lines = (rest + chunk.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) {
        yield { text: text.replace(/\r$/, ''), line: ++line };
      }
    }
  } catch (error) {
    throw describeReadError(error, path, `${line.toLocaleString('en-US')} lines`);
  }
  if (rest !== '') {
    yield { text: rest.replace(/\r$/, ''), line: ++line };
  }
}
