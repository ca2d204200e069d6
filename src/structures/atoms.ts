/** One atom of a residue. */
export interface StructureAtom {
  /** As the file names it: CA, CB, OXT. */
  name: string;
  /** Symbol in upper case; by the atom's name where the file has none. */
  element: string;
  /** In ångström. */
  position: readonly [x: number, y: number, z: number];
}

/** An atom as a file has it, with the names that say where it belongs. */
export interface AtomSite extends StructureAtom {
  model: string;
  /** The chain's name. */
  chain: string;
  /** What belongs together as a molecule: the chain in PDB, `label_asym_id` in mmCIF. */
  strand: string;
  /** Number in the file, with its insertion code. */
  number: string;
  /** Place in the strand's sequence, from 1 (`label_seq_id`), where the file tells. */
  place?: number;
  component: string;
  /** Alternative location; empty where there is one only. */
  alternative: string;
  /** Share of the molecules that have the atom there. */
  occupancy: number;
  hetero: boolean;
  /** Whether it comes after the end of its chain (TER). */
  afterEnd: boolean;
}

/** A residue that a strand consists of, resolved or not. */
export interface Monomer {
  /** Its component's name; several where the crystal has a mixture. */
  components: string[];
  /** The file's number for it, empty where it has none. */
  number: string;
  /** Its letter, where the file says it. */
  letter?: string;
}

/** What a structure file tells. */
export interface StructureFile {
  atoms: AtomSite[];
  /** What strands consist of, by strand. */
  sequences: Map<string, Monomer[]>;
  /** Components that the file derives from others, by the parent's name. */
  parents: Map<string, string>;
  /** Components that the file says are no amino acids. */
  others: Set<string>;
}
