import type { AtomSite, Monomer, StructureAtom, StructureFile } from './atoms.js';
import { isAminoAcid, isCap, letterOf, standardLetter } from './components.js';

/** One residue of a chain: its letter, its atoms, and the one that stands for its side chain, in ångström. */
export interface StructureResidue {
  letter: string;
  /** The chemical component's name: ALA, MSE. */
  name: string;
  /** Number in the file, with its insertion code; empty where it is not resolved and the file has no number for it. */
  number: string;
  /** Cβ, for glycine (and where Cβ is missing) Cα; undefined where neither was resolved. */
  position?: readonly [x: number, y: number, z: number];
  /** The atoms of one conformation, in the file's order, hydrogens with them; none where it is not resolved. */
  atoms: readonly StructureAtom[];
}

/** C and N of a peptide bond are 1.33 Å apart; this far they are still bonded in a crude model. */
const BOND = 2;
/** Cα of neighbours are 3.8 Å apart, 2.9 with a cis bond. */
const TRACE = 4.5;
/** Share of a strand's residues that must fit the file's sequence for it to be believed. */
const FITTING = 0.9;

/** What one number of a strand holds, in one conformation. */
interface Group {
  component: string;
  number: string;
  place?: number;
  hetero: boolean;
  afterEnd: boolean;
  atoms: AtomSite[];
}

/**
 * The residues of one strand of a structure, resolved or not.
 * @param sequence what the strand consists of, where the file tells
 */
export function residuesOf(
  atoms: readonly AtomSite[],
  file: Pick<StructureFile, 'parents' | 'others'>,
  sequence: readonly Monomer[] | undefined,
): StructureResidue[] {
  const groups = groupsOf(atoms);
  const letter = (component: string, told?: string) => {
    const parent = letterOf(file.parents.get(component) ?? '');
    const canonical = told && /^[A-WYZ]$/.test(told) && told !== 'J' ? told : undefined;
    return standardLetter(component) ?? canonical ?? parent ?? letterOf(component) ?? 'X';
  };
  const resolved = ({ component, number, atoms }: Group, told?: string): StructureResidue => ({
    letter: letter(component, told),
    name: component,
    number,
    ...positionOf(atoms, component),
    atoms: atoms.map(({ name, element, position }) => ({ name, element, position })),
  });
  const isEnd = (component: string) =>
    isCap(component) || (file.others.has(component) && letterOf(component) === undefined);

  const placed = sequence && placeGroups(groups, sequence, file.others);
  if (sequence && placed) {
    const own = new Map(placed.map(({ group, place }) => [place, group]));
    const numbers = numbersOf(sequence, own);
    const all = sequence.map((monomer, i): StructureResidue => {
      const group = own.get(i);
      const [component] = monomer.components;
      return group
        ? resolved(group, group.component === component ? monomer.letter : undefined)
        : { letter: letter(component, monomer.letter), name: component, number: numbers[i], atoms: [] };
    });
    return withoutEnds(all, isEnd);
  }

  const residues: StructureResidue[] = [];
  const chain = residueGroups(groups, new Set());
  chain.forEach((group, i) => {
    const before = chain[i - 1];
    const numbers = before && !bonded(before, group) ? jump(before, group) : 0;
    const missing = numbers > LONGEST_GAP ? 1 : numbers;
    for (let k = 1; k <= missing; k++) {
      const number = integer(before.number);
      residues.push({
        letter: 'X',
        name: '',
        number: number === undefined || missing < numbers ? '' : String(number + k),
        atoms: [],
      });
    }
    residues.push(resolved(group));
  });
  return withoutEnds(residues, isEnd);
}

/** A strand's atoms by residue, each in its conformation of highest occupancy. */
function groupsOf(atoms: readonly AtomSite[]): Group[] {
  const runs: AtomSite[][] = [];
  const known = new Map<string, AtomSite[]>();
  for (const atom of atoms) {
    const key = `${atom.place ?? ''} ${atom.number}`;
    const run = known.get(key);
    const belongs =
      run &&
      ((run[0].component === atom.component &&
        !run.some((other) => other.name === atom.name && other.alternative === atom.alternative)) ||
        (atom.alternative !== '' && run[0].alternative !== '') ||
        (run[0].component !== atom.component &&
          atom.alternative !== '' &&
          run.some(({ alternative }) => alternative !== '')));
    if (run && belongs) {
      run.push(atom);
    } else {
      const fresh = [atom];
      known.set(key, fresh);
      runs.push(fresh);
    }
  }
  return runs.map(conformation);
}

/** Highest mean occupancy counts, of equal ones the first: never the atoms of two. */
function conformation(atoms: AtomSite[]): Group {
  const occupancies = new Map<string, { sum: number; count: number; component: string }>();
  for (const { alternative, occupancy, component } of atoms) {
    if (alternative === '') {
      continue;
    }
    const key = `${alternative} ${component}`;
    const entry = occupancies.get(key) ?? { sum: 0, count: 0, component };
    entry.sum += occupancy;
    entry.count++;
    occupancies.set(key, entry);
  }
  let chosen = ` ${atoms[0].component}`;
  let best = Number.NEGATIVE_INFINITY;
  for (const [key, { sum, count }] of occupancies) {
    // Equal occupancies may differ in their last digit after the sum.
    if (sum / count > best + 1e-6) {
      best = sum / count;
      chosen = key;
    }
  }
  const component = chosen.slice(chosen.indexOf(' ') + 1);
  const own = atoms.filter(
    (atom) =>
      atom.component === component && (atom.alternative === '' || `${atom.alternative} ${component}` === chosen),
  );
  const [{ number, place, hetero, afterEnd }] = own;
  return { component, number, place, hetero, afterEnd, atoms: own };
}

function atomOf({ atoms }: Pick<Group, 'atoms'>, name: string): AtomSite | undefined {
  return atoms.find((atom) => atom.name === name);
}

/** Cα, and no calcium, which has the same name. */
function alphaCarbon(group: Group): AtomSite | undefined {
  const atom = atomOf(group, 'CA');
  return atom && (atom.element !== 'CA' || letterOf(group.component) !== undefined) ? atom : undefined;
}

function positionOf(atoms: AtomSite[], component: string): { position?: StructureAtom['position'] } {
  const group = { atoms, component } as Group;
  const atom = atomOf(group, 'CB') ?? alphaCarbon(group);
  return atom ? { position: atom.position } : {};
}

function distance(a: AtomSite, b: AtomSite): number {
  return Math.hypot(...a.position.map((value, axis) => value - b.position[axis]));
}

/** Whether a peptide bond joins two residues; of traces, whether their Cα are as near as one makes them. */
function bonded(before: Group, after: Group): boolean {
  const [c, n] = [atomOf(before, 'C'), atomOf(after, 'N')];
  if (c && n) {
    return distance(c, n) < BOND;
  }
  const [a, b] = [alphaCarbon(before), alphaCarbon(after)];
  return a !== undefined && b !== undefined && distance(a, b) < TRACE;
}

/**
 * Those of a strand's groups that are residues of a protein: amino acids by name, and others that have a backbone and are
 * bonded to a neighbour, or stand in mid-chain under the name of a modified amino acid.
 * @param expected names that the file's sequence has
 */
function residueGroups(groups: readonly Group[], expected: ReadonlySet<string>): Group[] {
  const isPlain = (group: Group) => isAminoAcid(group.component) && !group.hetero && !group.afterEnd;
  const first = groups.findIndex(isPlain);
  const last = groups.findLastIndex(isPlain);
  const isCandidate = (group: Group) => {
    const backbone = atomOf(group, 'N') !== undefined && atomOf(group, 'C') !== undefined;
    const trace = group.atoms.length === 1;
    const known = letterOf(group.component) !== undefined || expected.has(group.component);
    return !isCap(group.component) && alphaCarbon(group) !== undefined && (backbone || trace || known);
  };
  return groups.filter((group, i) => {
    if (isPlain(group)) {
      return true;
    }
    if (!isCandidate(group)) {
      return false;
    }
    const known = letterOf(group.component) !== undefined || expected.has(group.component);
    if (known && !group.afterEnd && (!group.hetero || (i > first && i < last))) {
      return true;
    }
    const isBonded = (before: Group | undefined, after: Group | undefined) =>
      before !== undefined && after !== undefined && isCandidate(before) && isCandidate(after) && bonded(before, after);
    return isBonded(groups[i - 1], group) || isBonded(group, groups[i + 1]);
  });
}

/** A number without insertion code. */
function integer(number: string): number | undefined {
  return /^-?\d+$/.test(number) ? Number(number) : undefined;
}

/** More numbers than this between two residues are another way of numbering, of which one residue is missing at least. */
const LONGEST_GAP = 1000;

/** How many numbers lie between two residues: of places in the sequence, and where these go on by the file's numbers. */
function jump(before: Group, after: Group): number {
  const between = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined ? 0 : Math.max(0, b - a - 1);
  const numbers = [before, after].map(({ number }) => integer(number.replace(/[A-Za-z]$/, '')));
  return between(before.place, after.place) || between(numbers[0], numbers[1]);
}

/** Residues without the caps at both ends. */
function withoutEnds(residues: StructureResidue[], isEnd: (component: string) => boolean): StructureResidue[] {
  const first = residues.findIndex(({ name }) => !isEnd(name));
  const last = residues.findLastIndex(({ name }) => !isEnd(name));
  return residues.slice(first, last + 1);
}

interface Placed {
  group: Group;
  /** 0-based place in the sequence. */
  place: number;
}

/** Where a strand's residues stand in the file's sequence; undefined where they do not fit it. */
function placeGroups(
  groups: readonly Group[],
  sequence: readonly Monomer[],
  others: ReadonlySet<string>,
): Placed[] | undefined {
  if (sequence.every(({ components: [component] }) => others.has(component) && letterOf(component) === undefined)) {
    return undefined;
  }
  const fits = (group: Group, place: number) => sequence[place]?.components.includes(group.component) ?? false;
  const accepted = (placed: Placed[]) =>
    placed.length > 0 && placed.filter(({ group, place }) => fits(group, place)).length >= FITTING * placed.length
      ? placed
      : undefined;
  if (groups.some(({ place }) => place !== undefined)) {
    const placed = groups.flatMap((group) => (group.place === undefined ? [] : [{ group, place: group.place - 1 }]));
    const inside = placed.every(({ place }) => place >= 0 && place < sequence.length);
    return inside ? accepted(placed) : undefined;
  }
  const expected = new Set(sequence.flatMap(({ components }) => components));
  const chain = residueGroups(groups, expected).filter(({ component, hetero }) => !hetero || expected.has(component));
  return accepted(placedByNumber(chain, sequence, fits) ?? aligned(chain, sequence, fits));
}

/** By one offset between numbers and places, where all residues fit it. */
function placedByNumber(
  chain: readonly Group[],
  sequence: readonly Monomer[],
  fits: (group: Group, place: number) => boolean,
): Placed[] | undefined {
  const numbers = chain.map(({ number }) => integer(number));
  const [first] = numbers;
  if (first === undefined) {
    return undefined;
  }
  for (let offset = 0; offset < sequence.length; offset++) {
    const places = numbers.map((number) => (number === undefined ? -1 : number - first + offset));
    if (places.every((place, i) => fits(chain[i], place) && (i === 0 || place > places[i - 1]))) {
      return chain.map((group, i) => ({ group, place: places[i] }));
    }
  }
  return undefined;
}

/** Costs of an alignment: a residue of another name, and a gap between two that a bond joins or does not join. */
const MATCH = 2;
const MISMATCH = -3;
const BROKEN = -8;
const GAP = -1;
/** A gap as long as the numbers say. */
const AS_NUMBERED = 0.5;

/** By global alignment, in which all residues have a place and gaps stand where bonds are missing. */
function aligned(
  chain: readonly Group[],
  sequence: readonly Monomer[],
  fits: (group: Group, place: number) => boolean,
): Placed[] {
  const m = sequence.length;
  if (chain.length === 0 || chain.length > m) {
    return [];
  }
  let scores = new Float64Array(m);
  const from: Int32Array[] = [];
  chain.forEach((group, i) => {
    const next = new Float64Array(m).fill(Number.NEGATIVE_INFINITY);
    const origin = new Int32Array(m).fill(-1);
    const gap = i > 0 && bonded(chain[i - 1], group) ? BROKEN : GAP;
    const missing = i > 0 ? jump(chain[i - 1], group) : 0;
    let best = -1;
    for (let place = i; place < m; place++) {
      const match = fits(group, place) ? MATCH : MISMATCH;
      if (i === 0) {
        next[place] = match;
        continue;
      }
      let [score, previous] = [scores[place - 1], place - 1];
      if (best !== -1 && scores[best] + gap > score) {
        [score, previous] = [scores[best] + gap, best];
      }
      const numbered = place - 1 - missing;
      if (missing > 0 && numbered >= 0 && scores[numbered] + gap + AS_NUMBERED > score) {
        [score, previous] = [scores[numbered] + gap + AS_NUMBERED, numbered];
      }
      next[place] = score + match;
      origin[place] = previous;
      if (best === -1 || scores[place - 1] > scores[best]) {
        best = place - 1;
      }
    }
    scores = next;
    from.push(origin);
  });
  let place = scores.indexOf(Math.max(...scores));
  const placed: Placed[] = [];
  for (let i = chain.length - 1; i >= 0; i--) {
    placed.unshift({ group: chain[i], place });
    place = from[i][place];
  }
  return placed;
}

/** Numbers of a sequence's residues: the file's, and of those that have none by their resolved neighbours. */
function numbersOf(sequence: readonly Monomer[], own: ReadonlyMap<number, Group>): string[] {
  const numbers = sequence.map(({ number }, i) => own.get(i)?.number ?? number);
  const places = [...own.keys()].sort((a, b) => a - b);
  const valueAt = (place: number | undefined) => (place === undefined ? undefined : integer(numbers[place]));
  const spans: [before: number | undefined, after: number | undefined][] = [
    [undefined, places[0]],
    ...places.map((place, i): [number, number | undefined] => [place, places[i + 1]]),
  ];
  for (const [before, after] of spans) {
    const [low, high] = [valueAt(before), valueAt(after)];
    const from = (before ?? -1) + 1;
    const to = after ?? sequence.length;
    const agree =
      before === undefined ||
      after === undefined ||
      (low !== undefined && high !== undefined && high - low === after - before);
    for (let i = from; i < to; i++) {
      if (numbers[i] !== '' || !agree) {
        continue;
      }
      const number =
        low !== undefined && before !== undefined
          ? low + i - before
          : high !== undefined && after !== undefined
            ? high - after + i
            : undefined;
      numbers[i] = number === undefined ? '' : String(number);
    }
  }
  return numbers;
}
