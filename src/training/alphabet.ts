import type { Alphabet } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { TokenStore } from '../data/store.js';

/**
 * Makes a store give the ids of a model's vocabulary.
 * @throws InputError where its letters are others
 */
export function matchAlphabet(alphabet: Alphabet, store: TokenStore): void {
  const { name, tokens } = store.alphabet;
  if (alphabet.name !== name) {
    throw new InputError(
      `${store.folder}: its alphabet is ${name}, the model's is ${alphabet.name}; ` +
        'build the data with the --alphabet of the model, or give other data',
    );
  }
  if (tokens.length !== alphabet.size || tokens.some((token, id) => token !== alphabet.tokens[id])) {
    store.readAs(alphabet);
  }
}
