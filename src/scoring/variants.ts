import type { AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import { alignPair, type Edit } from './alignPair.js';

export type { Edit } from './alignPair.js';

/** A residue as a variant names it: its one-letter code, and its position in the variant's own numbering. */
export interface Site {
  residue: string;
  position: number;
}

/**
 * One change as written. `first` and `last` are the residues it names (the same one for a single residue; for an
 * insertion the two neighbours). `residues` is what comes in: one letter for a substitution (`*` for a stop codon,
 * the wild type's own letter for a synonymous change), any number for an insertion or a delins, none otherwise.
 */
export interface Mutation {
  kind: 'substitution' | 'deletion' | 'insertion' | 'delins' | 'duplication';
  first: Site;
  last: Site;
  residues: string;
  /** The residues from `first` to `last`, where a deletion or duplication repeats them: K23_V25delKLV. */
  listed?: string;
}

/** A variant placed on its wild type: sorted edits that do not overlap; a synonymous change leaves no edit. */
export interface Variant {
  /** As the user wrote it. */
  name: string;
  edits: Edit[];
}

/** What is wrong with a variant. `position` is in the variant's own numbering. */
export class VariantError extends InputError {
  override name = 'VariantError';
  constructor(
    message: string,
    readonly variant: string,
    readonly position?: number,
    readonly expected?: string,
    readonly found?: string,
    /** Why there is nothing to score, in the words that such rows are counted by. */
    readonly reason: string = expected === undefined ? 'does not read as a variant' : 'the wild type does not match',
  ) {
    super(message);
  }
}

/** Three-letter codes of IUPAC and HGVS; `Ter` is a stop codon. */
const THREE_LETTERS: Record<string, string> = {
  Ala: 'A',
  Arg: 'R',
  Asn: 'N',
  Asp: 'D',
  Asx: 'B',
  Cys: 'C',
  Gln: 'Q',
  Glu: 'E',
  Glx: 'Z',
  Gly: 'G',
  His: 'H',
  Ile: 'I',
  Leu: 'L',
  Lys: 'K',
  Met: 'M',
  Phe: 'F',
  Pro: 'P',
  Pyl: 'O',
  Sec: 'U',
  Ser: 'S',
  Ter: '*',
  Thr: 'T',
  Trp: 'W',
  Tyr: 'Y',
  Val: 'V',
  Xaa: 'X',
  Xle: 'J',
};
const ONE_TO_THREE = new Map(Object.entries(THREE_LETTERS).map(([three, one]) => [one, three]));

const WILD_TYPE_NAMES = new Set(['WT', '_WT', 'WILDTYPE', 'WILD-TYPE', 'WILD_TYPE', '=', '_SY', 'SYNONYMOUS']);
const CHANGE =
  /^([A-Za-z]{3}|[A-Za-z])(-?\d{1,9})(?:_([A-Za-z]{3}|[A-Za-z])(-?\d{1,9}))?(delins|del|ins|dup|fs|ext|\[|=|\*|-|\?)?([A-Za-z*]*)(.*)$/s;
/** UniProt's accessions, also of an isoform or a version, and its entry names: `P12345-2`, `A4_HUMAN`. */
const ACCESSION = /^(?:[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z0-9]{2}\d){1,2})(?:[-.]\d+)?$/;
const ENTRY_NAME = /^[A-Z0-9]{1,10}_[A-Z0-9]{3,5}$/;
const FORMS = 'such as A24G, p.Ala24Gly, K23_V25del, K23_L24insRS, C28delinsWV or A3_S5dup';

export interface NotationOptions {
  /** What the positions count: residues (default) or bases. A change of the other kind is refused. */
  alphabet?: AlphabetName;
}

/**
 * Reads a variant in the notations of the field, without looking at a sequence.
 *
 * - `A24G`, three-letter `Ala24Gly`, HGVS `p.Ala24Gly`, `p.(Ala24Gly)`, with or without a reference (`NP_1.1:p.…`,
 *   `P12345:p.…`, `MSH2:p.…`), `%3D` for `=` as VEP writes it;
 * - FoldX's `AA24G;` (the second letter is the chain);
 * - with its consequence, the change of DNA that ClinVar and Enrich2 put before it: `NM_1.1(G):c.4A>G (p.Lys2Ala)`;
 * - of nucleotides `24A>G`, HGVS `g.24A>G`, where positions count the bases of the given sequence (`c.`, `m.`, `n.` too);
 * - several joined by `:`, `,`, `/`, `;`, `+`, a space or `_`, and HGVS alleles `p.[Ala24Gly;Cys25Ser]`;
 * - `K23del`, `K23_V25del`, `A24-` (a deletion), `K23_L24insRSQ`, `C28_K29delinsW`, `A3_S5dup`;
 * - synonymous `A24A`, `A24=`; the wild type itself `WT`, `_wt`, `_sy`, `=`, `p.=`, which gives no mutation at all;
 * - stop codons `W24*`, `p.Trp24Ter`. `X` is an unknown residue, never a stop.
 *
 * Frameshifts, extensions and repeats have no protein sequence of their own and are refused, as is a change of DNA
 * where proteins are read.
 *
 * @example parseVariant('A24G:K30del').length // 2
 * @throws VariantError naming the variant and the part that does not read
 */
export function parseVariant(text: string, options: NotationOptions = {}): Mutation[] {
  const name = text.trim();
  if (name === '') {
    throw new VariantError(
      `variant "${text}" is empty; write WT for the wild type`,
      name,
      undefined,
      undefined,
      undefined,
      'no variant',
    );
  }
  const nucleotides = options.alphabet === 'nucleotide';
  const decoded = name.replace(/%([0-9A-F]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
  const consequences = nucleotides ? undefined : consequencesOf(decoded);
  if (consequences) {
    return consequences.flatMap((part) => parseParts(part, name, nucleotides));
  }
  return parseParts(withoutReference(withoutChains(decoded, name)), name, nucleotides);
}

function parseParts(text: string, name: string, nucleotides: boolean): Mutation[] {
  let body = text;
  checkLevel(body, name, nucleotides);
  if (/^[pgcmn]\./.test(body)) {
    body = body.slice(2);
  }
  body = unwrapped(unwrapped(body, '(', ')'), '[', ']');
  if (WILD_TYPE_NAMES.has(body.toUpperCase())) {
    return [];
  }
  const parts = body
    .replace(/\s*([:,/;+])\s*/g, '$1')
    .replace(/;$/, '')
    .split(SEPARATORS);
  return parts.map((part) => parseMutation(part, name, nucleotides));
}

/** What joins the mutations of a variant; `_` does after a residue, and after a number it makes a range. */
const SEPARATORS = /[:,/;+]|\s+|(?<=[A-Za-z*=])_(?=[A-Za-z]+-?\d)/;

/** Changes of DNA or RNA: by HGVS's level, or a base put for another. */
const OF_BASES =
  /^(?:[cgmnor]\.|[-*]?\d+(?:[+-]\d+)?(?:_[-*]?\d+(?:[+-]\d+)?)?(?:[ACGTUN]+>[ACGTUN]+|del|dup|ins|inv))/i;

/** @throws VariantError for a change of bases where residues are read, and the other way round */
function checkLevel(body: string, name: string, nucleotides: boolean): void {
  if (nucleotides ? /^p\./.test(body) : OF_BASES.test(unwrapped(body, '[', ']'))) {
    throw new VariantError(
      nucleotides
        ? `variant "${name}" is a change of a protein; give one of DNA, such as 24A>G, or a protein model`
        : `variant "${name}" is a change of DNA or RNA, and positions count residues here: give the protein's change, ` +
            'such as p.Ala24Gly, or a nucleotide model',
      name,
      undefined,
      undefined,
      undefined,
      nucleotides ? 'a change of a protein' : 'a change of DNA or RNA',
    );
  }
}

/** The protein's changes in brackets after those of DNA, each once; undefined where there are none. */
function consequencesOf(text: string): string[] | undefined {
  if (!/(^|[:\s])[cgmn]\./.test(text)) {
    return undefined;
  }
  const found = [...text.matchAll(/\((p\.(?:[^()]|\([^()]*\))*)\)/g)].map(([, change]) => change);
  return found.length === 0 ? undefined : [...new Set(found)];
}

/** FoldX's mutations, which name the chain after the residue, as others write them. */
function withoutChains(text: string, name: string): string {
  const parts = text
    .replace(/;$/, '')
    .split(',')
    .map((part) => /^([A-Z])([A-Z0-9])(-?\d+[A-Z])$/i.exec(part.trim()));
  const known = parts.flatMap((part) => (part && !/^\d$/.test(part[2]) ? [part] : []));
  if (known.length < parts.length) {
    return text;
  }
  if (new Set(known.map(([, , chain]) => chain)).size > 1) {
    throw new VariantError(`variant "${name}" changes several chains; score one chain at a time`, name);
  }
  return known.map(([, residue, , change]) => residue + change).join(',');
}

function withoutReference(name: string): string {
  const at = name.search(/:\s*[pgcmnor]\./);
  if (at <= 0) {
    return name;
  }
  return isReference(name.slice(0, at)) ? name.slice(at + 1).trim() : name;
}

/** Whether a text names a sequence and no change; UniProt's and genes' names may begin as a change does. */
function isReference(text: string): boolean {
  if (/[,/;[\]]/.test(text) || /^[pgcmn]\./.test(text)) {
    return false;
  }
  const change = CHANGE.exec(text);
  if (!change || ACCESSION.test(text)) {
    return true;
  }
  const [, , , last, , verb] = change;
  if (last !== undefined) {
    return false;
  }
  return ENTRY_NAME.test(text) || (verb === undefined && !isSubstitutionName(text));
}

/** Whether a text is the whole name of a substitution, as that of the gene A2M is, too. */
function isSubstitutionName(text: string): boolean {
  const match = /^([A-Za-z]{3}|[A-Za-z])-?\d+([A-Za-z]{3}|[A-Za-z*])$/.exec(text);
  return match !== null && residueOf(match[1]) !== undefined && residueOf(match[2]) !== undefined;
}

function unwrapped(text: string, open: string, close: string): string {
  if (!text.startsWith(open) || !text.endsWith(close)) {
    return text;
  }
  const inner = text.slice(1, -1);
  return inner.includes(open) && open === '(' ? text : inner.trim();
}

function parseMutation(part: string, name: string, nucleotides: boolean): Mutation {
  let text = part.trim();
  if (text.startsWith('p.')) {
    text = text.slice(2);
  }
  text = unwrapped(text, '(', ')');
  const refuse = (what: string, reason?: string): never => {
    throw new VariantError(
      `variant "${name}": "${part.trim()}" ${what}`,
      name,
      undefined,
      undefined,
      undefined,
      reason,
    );
  };
  checkLevel(text, name, nucleotides);
  if (/^\(?\?\)?$/.test(text)) {
    return refuse('has an unknown effect, so there is nothing to score', 'unknown effect');
  }
  if (/^0\??$/.test(text)) {
    return refuse('leaves no protein, so there is nothing to score', 'no protein');
  }
  const base = nucleotides && /^(?:[gcmn]\.)?(-?\d{1,9})([A-Za-z])>([A-Za-z])$/.exec(text);
  if (base) {
    const first = { residue: base[2].toUpperCase(), position: Number(base[1]) };
    return { kind: 'substitution', first, last: first, residues: base[3].toUpperCase() };
  }
  const match = CHANGE.exec(text);
  if (!match) {
    return refuse(`does not read as a mutation ${FORMS}`);
  }
  const [, firstCode, firstPosition, lastCode, lastPosition, verb, letters, rest] = match;
  if (verb === 'fs' || (!verb && /fs/.test(letters!))) {
    return refuse('is a frameshift: give the mutated sequence instead', 'frameshift');
  }
  if (verb === 'ext' || (!verb && /ext/.test(letters!))) {
    return refuse('is an extension: give the mutated sequence instead', 'extension');
  }
  if (verb === '[') {
    return refuse('is a repeat: give the mutated sequence instead', 'repeat');
  }
  if (verb === '?') {
    return refuse('has an unknown effect, so there is nothing to score', 'unknown effect');
  }
  if (rest !== '') {
    return refuse(`does not read as a mutation ${FORMS}`);
  }

  const three = firstCode!.length === 3;
  const code = (letter: string): string => residueOf(letter) ?? refuse(`names "${letter}", which is no amino acid`);
  const sequence = (text: string): string =>
    three ? (text.match(/[A-Za-z]{1,3}|\*/g) ?? []).map(code).join('') : [...text].map(code).join('');
  const first: Site = { residue: code(firstCode!), position: Number(firstPosition) };
  if (first.residue === '*') {
    return refuse(
      'changes the stop codon, which is no residue of the sequence: give the mutated sequence instead',
      'extension',
    );
  }
  const last: Site = lastCode === undefined ? first : { residue: code(lastCode), position: Number(lastPosition) };
  if (last.position < first.position) {
    return refuse('ends before it starts');
  }
  if (last.position === first.position && last.residue !== first.residue) {
    return refuse(`names two residues at position ${first.position}`);
  }
  const single = lastCode === undefined;
  // HGVS once repeated the residues that are deleted or duplicated: they must fill the range.
  const listed = (): { listed?: string } => {
    if (letters === '') {
      return {};
    }
    const residues = sequence(letters!);
    const fills = residues.length === last.position - first.position + 1;
    return fills ? { listed: residues } : refuse('lists other residues than its range spans');
  };

  switch (verb) {
    case 'del':
    case '-': {
      if (verb === '-' && (!single || letters !== '')) {
        return refuse(`does not read as a mutation ${FORMS}`);
      }
      return { kind: 'deletion', first, last, residues: '', ...listed() };
    }
    case 'dup':
      return { kind: 'duplication', first, last, residues: '', ...listed() };
    case 'delins':
      if (letters === '') {
        return refuse('names no inserted residues');
      }
      return { kind: 'delins', first, last, residues: sequence(letters!) };
    case 'ins':
      if (letters === '') {
        return refuse('names no inserted residues');
      }
      if (single || last.position !== first.position + 1) {
        return refuse('must name the two neighbours of the insertion, such as K23_L24insRS');
      }
      return { kind: 'insertion', first, last, residues: sequence(letters!) };
    case '=':
      if (!single || letters !== '') {
        return refuse(`does not read as a mutation ${FORMS}`);
      }
      return { kind: 'substitution', first, last, residues: first.residue };
    case '*':
      if (!single || letters !== '') {
        return refuse(`does not read as a mutation ${FORMS}`);
      }
      return { kind: 'substitution', first, last, residues: '*' };
    default:
      if (letters === '') {
        return refuse('names no mutant residue');
      }
      if (!single || (letters!.length !== 1 && letters!.length !== 3)) {
        return refuse(`does not read as a mutation ${FORMS}`);
      }
      return { kind: 'substitution', first, last, residues: code(letters!) };
  }
}

/** One-letter code of a one- or three-letter code in any case, or undefined. */
function residueOf(code: string): string | undefined {
  if (code.length === 1) {
    return code === '*' ? '*' : /[A-Za-z]/.test(code) ? code.toUpperCase() : undefined;
  }
  return THREE_LETTERS[code[0].toUpperCase() + code.slice(1).toLowerCase()];
}

/**
 * Writes mutations: `short` as ProteinGym does (`A24G:K30del`), `hgvs` as `p.Ala24Gly` or `p.[Ala24Gly;Lys30del]`.
 * No mutation is `WT` or `p.=`.
 */
export function formatVariant(mutations: readonly Mutation[], style: 'short' | 'hgvs' = 'short'): string {
  if (style === 'short') {
    return mutations.map((m) => formatMutation(m, (r) => r)).join(':') || 'WT';
  }
  const parts = mutations.map((m) => formatMutation(m, (r) => ONE_TO_THREE.get(r) ?? r));
  if (parts.length === 0) {
    return 'p.=';
  }
  return parts.length === 1 ? `p.${parts[0]}` : `p.[${parts.join(';')}]`;
}

function formatMutation(m: Mutation, code: (residue: string) => string): string {
  const site = (s: Site) => `${code(s.residue)}${s.position}`;
  const range = m.first.position === m.last.position ? site(m.first) : `${site(m.first)}_${site(m.last)}`;
  const residues = [...m.residues].map(code).join('');
  switch (m.kind) {
    case 'substitution':
      return `${range}${m.residues === m.first.residue ? '=' : residues}`;
    case 'deletion':
      return `${range}del`;
    case 'duplication':
      return `${range}dup`;
    case 'insertion':
      return `${range}ins${residues}`;
    case 'delins':
      return `${range}delins${residues}`;
  }
}

/**
 * Places mutations on a wild type: checks every residue they name, and turns them into edits.
 *
 * @param options.offset the number of the sequence's first residue in the variants' numbering (ESM's `--offset-idx`)
 * @throws VariantError with variant, position, expected and found residue where the wild type does not match, where a
 *   position lies outside the sequence, and where two mutations of one variant overlap
 */
export function placeVariant(
  wildType: string,
  mutations: readonly Mutation[],
  options: { name?: string; offset?: number } = {},
): Variant {
  const offset = options.offset ?? 1;
  const name = options.name ?? formatVariant(mutations);
  const indexOf = (site: Site): number => {
    const index = site.position - offset;
    const found = wildType[index];
    if (found === undefined) {
      throw new VariantError(
        `variant ${name}: position ${site.position} lies outside the sequence, which has residues ${offset} to ` +
          `${offset + wildType.length - 1}; check --offset`,
        name,
        site.position,
        site.residue,
      );
    }
    if (found !== site.residue) {
      throw new VariantError(
        `variant ${name}: position ${site.position} of the wild type is ${found}, not ${site.residue}; check the ` +
          'sequence and --offset',
        name,
        site.position,
        site.residue,
        found,
      );
    }
    return index;
  };

  const edits: Edit[] = [];
  for (const mutation of mutations) {
    const start = indexOf(mutation.first);
    const end = indexOf(mutation.last) + 1;
    [...(mutation.listed ?? '')].forEach((residue, i) => {
      indexOf({ residue, position: mutation.first.position + i });
    });
    switch (mutation.kind) {
      case 'substitution':
        edits.push({ start, end, residues: mutation.residues });
        break;
      case 'deletion':
        edits.push({ start, end, residues: '' });
        break;
      case 'insertion':
        edits.push({ start: end - 1, end: end - 1, residues: mutation.residues });
        break;
      case 'duplication':
        edits.push({ start: end, end, residues: wildType.slice(start, end) });
        break;
      case 'delins':
        edits.push({ start, end, residues: mutation.residues });
        break;
    }
  }
  edits.sort((a, b) => a.start - b.start || a.end - b.end);
  for (let i = 1; i < edits.length; i++) {
    const [before, after] = [edits[i - 1], edits[i]];
    const sameGap = before.start === after.start && before.end === after.end && after.start === after.end;
    if (after.start < before.end || sameGap) {
      const position = after.start + offset;
      throw new VariantError(`variant ${name}: two of its mutations change position ${position}`, name, position);
    }
  }
  return { name, edits: edits.flatMap((edit) => substitutionsOf(wildType, edit)) };
}

/** A replacement by as many residues is that many substitutions; positions that stay the same drop out. */
function substitutionsOf(wildType: string, edit: Edit): Edit[] {
  if (edit.residues.length !== edit.end - edit.start) {
    return [edit];
  }
  return [...edit.residues].flatMap((residue, i) => {
    const start = edit.start + i;
    return residue === wildType[start] ? [] : [{ start, end: start + 1, residues: residue }];
  });
}

/**
 * Parses and places a variant in one step. Before HGVS's colon a name such as `A2M` is a mutation where its residue is
 * the wild type's, else the gene.
 */
export function readVariant(
  wildType: string,
  text: string,
  options: NotationOptions & { offset?: number } = {},
): Variant {
  const name = text.trim();
  const offset = options.offset ?? 1;
  const at = name.search(/:\s*p\./);
  const head = /^([A-Za-z]+)(-?\d+)/.exec(name);
  const isGene =
    at > 0 &&
    head !== null &&
    isSubstitutionName(name.slice(0, at)) &&
    wildType[Number(head[2]) - offset] !== residueOf(head[1]);
  return placeVariant(wildType, parseVariant(isGene ? name.slice(at + 1) : name, options), { name, offset });
}

/** The mutated sequence. A stop codon ends it: what follows is not translated. */
export function applyVariant(wildType: string, variant: Variant): string {
  let mutated = '';
  let at = 0;
  for (const { start, end, residues } of variant.edits) {
    mutated += wildType.slice(at, start) + residues;
    at = end;
  }
  mutated += wildType.slice(at);
  const stop = mutated.indexOf('*');
  return stop === -1 ? mutated : mutated.slice(0, stop);
}

/**
 * The variant that turns one sequence into another, by their alignment: substitutions, deletions, insertions and delins,
 * each as far towards the C-terminus as it can stand (HGVS's 3' rule).
 *
 * @example diffSequences('MKTV', 'MKV').name // 'T3del'
 */
export function diffSequences(
  wildType: string,
  mutated: string,
  options: { name?: string; offset?: number } = {},
): Variant {
  const offset = options.offset ?? 1;
  const site = (index: number): Site => ({ residue: wildType[index], position: index + offset });
  const edits = alignPair(wildType, mutated);
  const name = options.name ?? (edits.map((edit) => nameOfEdit(wildType, edit, site)).join(':') || 'WT');
  return { name, edits };
}

function nameOfEdit(wildType: string, { start, end, residues }: Edit, site: (index: number) => Site): string {
  if (end - start === 1 && residues.length === 1) {
    return formatVariant([{ kind: 'substitution', first: site(start), last: site(start), residues }]);
  }
  if (start < end) {
    const kind = residues === '' ? 'deletion' : 'delins';
    return formatVariant([{ kind, first: site(start), last: site(end - 1), residues }]);
  }
  // HGVS has no name for residues before the first or after the last: write them as a delins of that neighbour.
  if (start === 0) {
    return formatVariant([{ kind: 'delins', first: site(0), last: site(0), residues: residues + wildType[0] }]);
  }
  if (start === wildType.length) {
    const last = site(start - 1);
    return formatVariant([{ kind: 'delins', first: last, last, residues: last.residue + residues }]);
  }
  return formatVariant([{ kind: 'insertion', first: site(start - 1), last: site(start), residues }]);
}

/** Whether a variant only exchanges residues, so that its positions are the wild type's. */
export function isSubstitution(variant: Variant): boolean {
  return variant.edits.every((edit) => edit.end - edit.start === 1 && edit.residues.length === 1);
}

/** Every single substitution of a sequence by the given residues, in the sequence's order (`A24G`, then `A24V`, …). */
export function* singleSubstitutions(wildType: string, residues: string, offset = 1): Generator<Variant> {
  for (let start = 0; start < wildType.length; start++) {
    for (const residue of residues) {
      if (residue === wildType[start]) {
        continue;
      }
      yield {
        name: `${wildType[start]}${start + offset}${residue}`,
        edits: [{ start, end: start + 1, residues: residue }],
      };
    }
  }
}
