import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../shared', import.meta.url));

/** Folder of goldens and corpora beside the checkout; undefined where there is none, and tests of it are skipped. */
export const SHARED: string | undefined = existsSync(folder) ? folder : undefined;
