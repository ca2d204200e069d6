/** One atom of a made-up structure; what is left out has the usual value. */
export interface TestAtom {
  record?: 'ATOM' | 'HETATM';
  name: string;
  alternative?: string;
  component: string;
  chain?: string;
  number: number;
  insertion?: string;
  at: readonly [number, number, number];
  occupancy?: number;
  element?: string;
}

/** A line of a PDB file, in wwPDB's columns. */
export function pdbLine(atom: TestAtom): string {
  const { record = 'ATOM', name, alternative = ' ', component, chain = 'A', number, insertion = ' ', at } = atom;
  const { occupancy = 1, element = name[0] } = atom;
  const label = element.length === 2 || name.length === 4 ? name.padEnd(4) : ` ${name.padEnd(3)}`;
  const xyz = at.map((value) => value.toFixed(3).padStart(8)).join('');
  return (
    `${record.padEnd(6)}    1 ${label}${alternative}${component.padStart(3).padEnd(4)}${chain}` +
    `${String(number).padStart(4)}${insertion}   ${xyz}${occupancy.toFixed(2).padStart(6)}  0.00          ${element.padStart(2)}`
  );
}

/**
 * A straight backbone: N, CA, C and CB of each residue at 3.8 Å from the last, so that neighbours are bonded.
 * @param first place along the axis of the first residue; a number not taken is a hole of its length
 */
export function backbone(
  residues: readonly {
    component: string;
    number: number;
    place?: number;
    record?: 'ATOM' | 'HETATM';
    insertion?: string;
  }[],
  chain = 'A',
): TestAtom[] {
  return residues.flatMap(({ component, number, place = number, record, insertion }) => {
    const x = 3.8 * place;
    const own = { component, number, record, insertion, chain };
    return [
      { ...own, name: 'N', at: [x - 1.2, 0.5, 0] as const },
      { ...own, name: 'CA', at: [x, 0, 0] as const },
      { ...own, name: 'C', at: [x + 1.3, 0.5, 0] as const },
      { ...own, name: 'CB', at: [x, -1.5, 0] as const },
    ];
  });
}

/** A PDB file's text. */
export function pdb(atoms: readonly TestAtom[], before: readonly string[] = []): string {
  return `${[...before, ...atoms.map(pdbLine)].join('\n')}\nEND\n`;
}

/** SEQRES records of a chain. */
export function seqres(components: string, chain = 'A'): string[] {
  const names = components.split(' ');
  const lines: string[] = [];
  for (let i = 0; i < names.length; i += 13) {
    const part = names.slice(i, i + 13).join(' ');
    lines.push(`SEQRES ${String(lines.length + 1).padStart(3)} ${chain} ${String(names.length).padStart(4)}  ${part}`);
  }
  return lines;
}
