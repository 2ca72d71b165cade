/** A static file server. */
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

const BLANK = `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
<title>test</title><body></body></html>`;

/** A running server. */
export interface Web {
  readonly url: string;
  close(): void;
}

/** Serves a folder; `/` is its `index.html`, or a blank page. */
export async function serve(folder: string): Promise<Web> {
  const server: Server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://x").pathname);
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    if (existsSync(file) && statSync(file).isFile()) {
      const type = TYPES[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, "cache-control": "no-store" });
      createReadStream(file).pipe(response);
    } else if (path === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(BLANK);
    } else {
      response.writeHead(404).end("not found");
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
