/**
 * A mistake in what the user gave: a file, a flag, a configuration. The command line prints its message as one
 * line (what is wrong, where, what to do) and exits with 1, without a stack trace.
 */
export class InputError extends Error {
  override name = 'InputError';
}
