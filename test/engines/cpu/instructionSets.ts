import { loadAddon } from '../../../src/engines/cpu/addon.js';

/** Instruction sets of this machine's processor; the one in use stays so. */
export function instructionSets(): string[] {
  const addon = loadAddon();
  const current = addon.instructionSet();
  return ['avx512', 'avx2', 'sse2', 'neon', 'generic'].filter((name) => {
    try {
      addon.setInstructionSet(name);
      return true;
    } catch {
      return false;
    } finally {
      addon.setInstructionSet(current);
    }
  });
}
