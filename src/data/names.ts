/** What separates the titles of one record in NCBI's FASTA of equal proteins. */
const CONTROL_A = '\x01';

/** The titles of a header: NCBI joins those of equal proteins by Ctrl-A. */
export function titlesOf(description: string): string[] {
  return description.split(CONTROL_A).filter((title) => title.trim() !== '');
}

/**
 * The names that databases and programs know a record by, most specific first: its first word, the parts between `|`, and
 * what these are called elsewhere. `pdb|1A3N|A` is `1A3N_A` and, as MMseqs2 writes it, `1A3N`; `UniRef50_X` is `X`;
 * `AFDB:AF-X-F1` is `AF-X-F1` and `X`.
 */
export function namesOf(description: string): string[] {
  const names = new Set<string>();
  for (const title of titlesOf(description)) {
    const [word] = title.trim().split(/\s+/, 1);
    names.add(word);
    const parts = word.split('|');
    const pdb = parts.findIndex((part) => part.toLowerCase() === 'pdb');
    if (pdb !== -1 && parts[pdb + 2]) {
      names.add(`${parts[pdb + 1]}_${parts[pdb + 2]}`);
    }
    for (const part of parts) {
      if (part !== '' && !DATABASES.has(part.toLowerCase())) {
        names.add(part);
      }
    }
    for (const part of [...parts]) {
      for (const other of otherNames(part)) {
        names.add(other);
      }
    }
  }
  return [...names];
}

/** Tags of databases between the bars of NCBI's and UniProt's identifiers. */
const DATABASES = new Set('sp tr gi ref gb emb dbj pdb pir prf lcl gnl bbs pat cl us tpg tpe tpd'.split(' '));

function otherNames(name: string): string[] {
  const uniref = /^UniRef\d+_(.+)$/.exec(name)?.[1];
  if (uniref !== undefined) {
    return [uniref];
  }
  const [, model, accession] = /^(?:AFDB:)?(AF-(.+)-F\d+)(?:-model_v\d+)?$/.exec(name) ?? [];
  if (model !== undefined && accession !== undefined) {
    return [model, accession];
  }
  return [];
}

/** The accession that an isoform belongs to: `P12345` of `P12345-2`; undefined where a name is none. */
export function isoformOf(name: string): string | undefined {
  return /^([A-Z][A-Z0-9]{5}|[A-Z][A-Z0-9]{9})-\d+$/.exec(name)?.[1];
}
