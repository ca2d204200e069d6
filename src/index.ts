export { InputError } from './data/errors.js';
