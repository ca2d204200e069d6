export {
  AREA_TABLES,
  type AreaTable,
  RESIDUE_AREAS,
  relativeAccessibility,
  type SolventOptions,
  solventAreas,
} from './solvent.js';
export {
  type Chain,
  contactPairs,
  otherAtoms,
  readChain,
  readStructure,
  type StructureAtom,
  type StructureOptions,
  type StructureResidue,
} from './structure.js';
