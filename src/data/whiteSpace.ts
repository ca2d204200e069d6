/** What Python calls white space (str.isspace): wider than JavaScript's by the separators, narrower by the BOM. */
const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const TRAILING_SPACE = new RegExp(`[${SPACE}]+$`);
const WORD = new RegExp(`[^${SPACE}]+`);

/** The text without the white space at its end. */
export function trimEnd(text: string): string {
  return TRAILING_SPACE.test(text.slice(-1)) ? text.replace(TRAILING_SPACE, '') : text;
}

/** A header's first word, up to the Ctrl-A by which NCBI joins titles; empty where it has none. */
export function firstWord(text: string): string {
  return WORD.exec(text)?.[0].split('\x01', 1)[0] ?? '';
}
