import type { Alphabet, AlphabetName } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';

/**
 * The alphabet of one model folder or several, from their configurations alone.
 * @param command what needs it, for errors
 * @param allowed the alphabets that the command works on
 * @throws InputError where it is another, or they differ
 */
export async function modelAlphabet(
  folders: readonly string[],
  command: string,
  allowed: readonly AlphabetName[] = ['protein', 'nucleotide', 'bytes'],
): Promise<Alphabet> {
  const { readModelConfig } = await import('../model/files.js');
  const [first, ...others] = folders;
  const { alphabet } = await readModelConfig(first!);
  if (!allowed.includes(alphabet.name)) {
    throw new InputError(
      `${first}: its alphabet is ${alphabet.name}, and ${command} works on ${allowed.join(' and ')} models; ` +
        'evaluate and embed take any',
    );
  }
  for (const folder of others) {
    const { alphabet: other } = await readModelConfig(folder);
    if (other.name !== alphabet.name) {
      throw new InputError(
        `${folder}: its alphabet is ${other.name}, that of ${first} is ${alphabet.name}; give models of one alphabet`,
      );
    }
  }
  return alphabet;
}
