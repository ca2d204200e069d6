import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server on 127.0.0.1 that speaks as much of Hugging Face's interface as a download needs. */
export interface HubServer {
  url: string;
  /** What was asked for: method, path, range, token. */
  requests: string[];
  /** Files of the one model, `owner/model`; those of more than 1000 bytes are stored as large files, by SHA-256. */
  files: Map<string, Buffer>;
  /** Commits by revision. */
  revisions: Map<string, string>;
  /** Token that it asks for. */
  token?: string;
  /** Breaks off each transfer after so many bytes. */
  breakAfter?: number;
  /** Answers with this status. */
  status?: number;
  /** Sends these bytes instead of a file's. */
  forged?: Map<string, Buffer>;
  close(): Promise<void>;
}

export const MODEL = 'owner/model';
export const COMMIT = 'c'.repeat(40);

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
export const gitDigest = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const isLarge = (bytes: Buffer): boolean => bytes.length > 1000;

export async function startHub(): Promise<HubServer> {
  const server: Server = createServer((request, response) => answer(hub, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const hub: HubServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    files: new Map(),
    revisions: new Map([['main', COMMIT]]),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return hub;
}

function answer(hub: HubServer, request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url!, hub.url);
  const { range, authorization } = request.headers;
  hub.requests.push([request.method, pathname, range, authorization].filter(Boolean).join(' '));
  const json = (status: number, value: unknown, headers: Record<string, string> = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  if (hub.status !== undefined) {
    json(hub.status, { error: 'as asked' });
    return;
  }
  if (hub.token !== undefined && authorization !== `Bearer ${hub.token}`) {
    json(401, { error: 'Invalid username or password.' });
    return;
  }
  const [, revision] = new RegExp(`^/api/models/${MODEL}/revision/([^/]+)$`).exec(pathname) ?? [];
  const commit = hub.revisions.get(decodeURIComponent(revision ?? ''));
  if (commit !== undefined) {
    json(200, {
      _id: '1',
      id: MODEL,
      sha: commit,
      private: false,
      downloads: 0,
      likes: 0,
      gated: false,
      lastModified: '2026-01-01',
    });
    return;
  }
  const known = [...hub.revisions.values()].find((sha) => pathname.includes(`/${sha}`));
  if (known && pathname === `/api/models/${MODEL}/tree/${known}`) {
    // Two pages, to see that the second is asked for.
    const entries = [...hub.files].map(([path, bytes]) => ({
      type: 'file',
      path,
      size: bytes.length,
      oid: isLarge(bytes) ? gitDigest(Buffer.from('pointer')) : gitDigest(bytes),
      ...(isLarge(bytes) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
    }));
    const second = request.url!.includes('cursor=1');
    const next = `<${hub.url}${pathname}?recursive=true&cursor=1>; rel="next"`;
    json(200, second ? entries.slice(1) : entries.slice(0, 1), second ? {} : { link: next });
    return;
  }
  const file = known && pathname.slice(`/${MODEL}/resolve/${known}/`.length);
  const bytes = file !== undefined && pathname.startsWith(`/${MODEL}/resolve/`) ? hub.files.get(file) : undefined;
  if (bytes === undefined) {
    json(404, { error: 'Repository not found' });
    return;
  }
  send(hub, hub.forged?.get(file as string) ?? bytes, bytes, range, response);
}

function send(hub: HubServer, sent: Buffer, bytes: Buffer, range: string | undefined, response: ServerResponse): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(Number(to ?? bytes.length - 1), bytes.length - 1);
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    etag: `"${gitDigest(bytes)}"`,
    ...(range && { 'content-range': `bytes ${start}-${end}/${bytes.length}` }),
  });
  const piece = sent.subarray(start, end + 1);
  if (hub.breakAfter !== undefined && piece.length > hub.breakAfter) {
    response.write(piece.subarray(0, hub.breakAfter), () => setTimeout(() => response.destroy(), 20));
  } else {
    response.end(piece);
  }
}
