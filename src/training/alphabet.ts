import type { Alphabet } from '../data/alphabet.js';
import { InputError } from '../data/errors.js';
import type { TokenStore } from '../data/store.js';

/** @throws InputError where the ids of a store's tokens are not the model's */
export function checkAlphabet(alphabet: Alphabet, store: TokenStore): void {
  const { name, tokens } = store.alphabet;
  if (alphabet.name !== name) {
    throw new InputError(
      `${store.folder}: its alphabet is ${name}, the model's is ${alphabet.name}; ` +
        'build the data with the --alphabet of the model, or give other data',
    );
  }
  if (tokens.length === alphabet.size && tokens.every((token, id) => token === alphabet.tokens[id])) {
    return;
  }
  throw new InputError(`${store.folder}: its vocabulary is not the model's vocab.txt; give other data`);
}
