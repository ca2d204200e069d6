import type { Chain, StructureAtom } from './structure.js';

/** Bondi's van der Waals radii in ångström; elements that proteins and their ligands rarely have count as 2.0. */
const RADII: Readonly<Record<string, number>> = {
  C: 1.7,
  N: 1.55,
  O: 1.52,
  S: 1.8,
  P: 1.8,
  SE: 1.9,
  F: 1.47,
  CL: 1.75,
  BR: 1.85,
  I: 1.98,
  NA: 2.27,
  MG: 1.73,
  K: 2.75,
  CA: 2.31,
  NI: 1.63,
  CU: 1.4,
  ZN: 1.39,
  CD: 1.58,
};
const OTHER_RADIUS = 2;

/** Theoretical maxima of Tien et al. 2013 (table 1) in Å². */
const TIEN: Readonly<Record<string, number>> = {
  A: 129,
  R: 274,
  N: 195,
  D: 193,
  C: 167,
  Q: 225,
  E: 223,
  G: 104,
  H: 224,
  I: 197,
  L: 201,
  K: 236,
  M: 224,
  F: 240,
  P: 159,
  S: 155,
  T: 172,
  W: 285,
  Y: 263,
  V: 174,
};

/**
 * Largest accessible areas of residues in Å², by letter: those of Tien et al. 2013, and the same as the package rsalor
 * has them, whose threonine, glutamine and glutamate differ.
 */
export const RESIDUE_AREAS = {
  tien: TIEN,
  rsalor: { ...TIEN, T: 155, Q: 223, E: 225 },
} as const satisfies Record<string, Readonly<Record<string, number>>>;

/** Names of `RESIDUE_AREAS`. */
export const AREA_TABLES = ['tien', 'rsalor'] as const satisfies (keyof typeof RESIDUE_AREAS)[];
export type AreaTable = (typeof AREA_TABLES)[number];

export interface SolventOptions {
  /** Radius of the solvent molecule in ångström; default 1.4, water's. */
  probe?: number;
  /** Points on each atom's sphere; default 100. */
  points?: number;
  /** Atoms beside the chain's that cover it too, such as those of a ligand; default none. */
  others?: readonly StructureAtom[];
}

/**
 * Solvent-accessible surface of each residue in Å² (Shrake and Rupley 1973): the share of points on its atoms' spheres,
 * widened by the probe, that lie in no other atom's. The points are a golden spiral's; hydrogens count as absent. NaN for
 * a residue that was not resolved.
 * @returns [residues]
 */
export function solventAreas(chain: Chain, options: SolventOptions = {}): Float64Array {
  const { probe = 1.4, points = 100, others = [] } = options;
  const own = chain.residues.flatMap(({ atoms }, residue) => atoms.map((atom) => ({ atom, residue })));
  const spheres = [...own, ...others.map((atom) => ({ atom, residue: -1 }))]
    .filter(({ atom }) => !HYDROGENS.has(atom.element))
    .map(({ atom, residue }): Sphere & { residue: number } => {
      const radius = (RADII[atom.element] ?? OTHER_RADIUS) + probe;
      return { residue, position: atom.position, radius, square: radius ** 2 };
    });
  const widest = spheres.reduce((most, { radius }) => Math.max(most, radius), 0);
  const cells = new Cells(
    spheres.map(({ position }) => position),
    2 * widest,
  );
  const spiral = goldenSpiral(points);
  const areas = Float64Array.from(chain.residues, ({ atoms }) => (atoms.length === 0 ? Number.NaN : 0));
  for (const [i, { residue, position, radius }] of spheres.entries()) {
    if (residue === -1) {
      continue;
    }
    const near: Sphere[] = [];
    for (const j of cells.near(position)) {
      const other = spheres[j];
      if (j !== i && distance(position, other.position) < radius + other.radius) {
        near.push(other);
      }
    }
    let free = 0;
    // A point's neighbour on the spiral is mostly covered by the same atom.
    let last = 0;
    for (const [ux, uy, uz] of spiral) {
      const point = [position[0] + ux * radius, position[1] + uy * radius, position[2] + uz * radius] as const;
      if (last < near.length && covers(near[last], point)) {
        continue;
      }
      last = near.findIndex((sphere) => covers(sphere, point));
      if (last === -1) {
        free++;
        last = near.length;
      }
    }
    areas[residue] += (free / points) * 4 * Math.PI * radius ** 2;
  }
  return areas;
}

/**
 * Relative solvent accessibility of each residue: its area (`solventAreas`) over the largest that it can have. It may
 * pass 1 at a chain's end, and is NaN for a residue that was not resolved or has no known maximum (X).
 * @param options.table maxima; default Tien et al. 2013
 * @returns [residues]
 */
export function relativeAccessibility(
  chain: Chain,
  options: SolventOptions & { table?: AreaTable } = {},
): Float64Array {
  const maxima: Readonly<Record<string, number>> = RESIDUE_AREAS[options.table ?? 'tien'];
  return solventAreas(chain, options).map((area, i) => area / (maxima[chain.residues[i].letter] ?? Number.NaN));
}

type Point = readonly [x: number, y: number, z: number];

interface Sphere {
  position: Point;
  radius: number;
  square: number;
}

function distance(a: Point, b: Point): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function covers({ position, square }: Sphere, point: Point): boolean {
  return (point[0] - position[0]) ** 2 + (point[1] - position[1]) ** 2 + (point[2] - position[2]) ** 2 <= square;
}

const HYDROGENS = new Set(['H', 'D']);

/** Points spread evenly on the unit sphere, each turned by the golden angle against the one before. */
function goldenSpiral(count: number): Point[] {
  const turn = Math.PI * (3 - Math.sqrt(5));
  return Array.from({ length: count }, (_, k) => {
    const z = 1 - (2 * k + 1) / count;
    const around = Math.sqrt(1 - z * z);
    return [Math.cos(k * turn) * around, Math.sin(k * turn) * around, z];
  });
}

/** Points by the cube that they lie in, to find those near another. */
class Cells {
  private readonly members = new Map<string, number[]>();

  constructor(
    points: readonly Point[],
    private readonly size: number,
  ) {
    for (const [index, point] of points.entries()) {
      const key = this.cellOf(point).join();
      const cell = this.members.get(key);
      if (cell) {
        cell.push(index);
      } else {
        this.members.set(key, [index]);
      }
    }
  }

  /** Indices of all points nearer than the cubes' size, and of some further ones. */
  *near(point: Point): Generator<number> {
    const [x, y, z] = this.cellOf(point);
    for (let i = x - 1; i <= x + 1; i++) {
      for (let j = y - 1; j <= y + 1; j++) {
        for (let k = z - 1; k <= z + 1; k++) {
          yield* this.members.get([i, j, k].join()) ?? [];
        }
      }
    }
  }

  private cellOf(point: Point): number[] {
    return point.map((value) => Math.floor(value / this.size));
  }
}
