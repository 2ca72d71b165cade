/** The packed package, installed into real projects of every kind and run. */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Browser } from "playwright-core";
import type { Configuration } from "webpack";
import { JS, launch } from "./support/browser.js";
import { bucket, type Nats, shared } from "./support/nats.js";
import { serve } from "./support/web.js";

const run = promisify(execFile);
let browser: Browser;
let nats: Nats;
let work: string;
let packed: string;

/** The code of every project: connects, writes and watches. */
const app = (from: string): string => `
import { connect } from "${from}";

export async function main(url, bucket) {
  const client = await connect(url);
  const store = await client.create(bucket);
  await store.put("greeting", "hello");
  for await (const entry of await store.watch({ key: "greeting" })) {
    await client.close();
    return entry.string();
  }
}
`;

const page = `
import { main } from "./app.js";
const query = new URLSearchParams(location.search);
main(query.get("server"), query.get("bucket")).then(
  (text) => { document.title = text; },
  (error) => { document.title = "failed: " + error.message; },
);
`;

const html = (script: string): string => `<!doctype html><html lang="en"><meta charset="utf-8">
<link rel="icon" href="data:,"><title>starting</title><body>${script}</body></html>`;

before(async () => {
  [browser, nats] = await Promise.all([launch(), shared()]);
  // Inside js/, so that the bundlers are found; the package comes from the tarball.
  const cache = join(JS, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  work = mkdtempSync(join(cache, "projects-"));
  const npm = ["pack", "--silent", "--ignore-scripts", "--pack-destination", work];
  execFileSync("npm", npm, { cwd: JS });
  packed = join(work, readdirSync(work).find((file) => file.endsWith(".tgz")) ?? "missing.tgz");
});

after(async () => {
  await browser.close();
  rmSync(work, { recursive: true, force: true });
});

/** A project with the package installed from the tarball. */
async function project(name: string, files: Record<string, string>): Promise<string> {
  const folder = join(work, name);
  const manifest = { name, private: true, type: "module", version: "0.0.0" };
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  const install = ["install", "--offline", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run("npm", [...install, packed], { cwd: folder });
  return folder;
}

/** Runs webpack, and returns its errors and warnings. */
async function webpack(configuration: Configuration): Promise<string> {
  const { default: webpack } = await import("webpack");
  return new Promise((resolve) => {
    webpack(configuration)?.run((error, stats) => {
      const isClean = stats !== undefined && !stats.hasErrors() && !stats.hasWarnings();
      resolve(isClean ? "" : (stats?.toString("errors-warnings") ?? String(error)));
    });
  });
}

/** The page's title once it has run. */
async function title(folder: string, path = "/"): Promise<string> {
  const web = await serve(folder);
  try {
    return await visit(`${web.url}${path}`);
  } finally {
    web.close();
  }
}

async function visit(url: string): Promise<string> {
  const tab = await browser.newPage();
  try {
    await tab.goto(`${url}?${new URLSearchParams({ server: nats.ws, bucket: bucket() }).toString()}`);
    await tab.waitForFunction(() => document.title !== "starting");
    return await tab.title();
  } finally {
    await tab.close();
  }
}

for (const entry of ["shizuku-kv", "shizuku-kv/web", "shizuku-kv/core"]) {
  const name = entry.replace("/", "-");

  test(`Vite builds ${entry}`, async () => {
    const folder = await project(`vite-${name}`, {
      "app.js": app(entry),
      "page.js": page,
      "index.html": html('<script type="module" src="./page.js"></script>'),
    });
    const { build } = await import("vite");
    await build({ root: folder, logLevel: "error", configFile: false });
    assert.equal(await title(join(folder, "dist")), "hello");
  });

  test(`webpack builds ${entry}`, async () => {
    const folder = await project(`webpack-${name}`, { "app.js": app(entry), "page.js": page });
    const output = { path: join(folder, "dist") };
    const problems = await webpack({ mode: "production", context: folder, entry: "./page.js", output, performance: false });
    assert.equal(problems, "");
    writeFileSync(join(folder, "dist/index.html"), html('<script src="/main.js"></script>'));
    assert.equal(await title(join(folder, "dist")), "hello");
  });
}

test("Vite serves it in development, without a setting", async () => {
  const folder = await project("vite-dev", {
    "app.js": app("shizuku-kv"),
    "page.js": page,
    "index.html": html('<script type="module" src="./page.js"></script>'),
  });
  const { createServer } = await import("vite");
  const server = await createServer({ root: folder, logLevel: "error", configFile: false });
  try {
    await server.listen(0);
    assert.equal(await visit(server.resolvedUrls?.local[0] ?? ""), "hello");
  } finally {
    await server.close();
  }
});

test("esbuild builds it, without a warning", async () => {
  const folder = await project("esbuild", { "app.js": app("shizuku-kv"), "page.js": page });
  const { build } = await import("esbuild");
  const outfile = join(folder, "dist/main.js");
  const { warnings } = await build({
    entryPoints: [join(folder, "page.js")],
    bundle: true,
    format: "esm",
    outfile,
    logLevel: "silent",
  });
  assert.deepEqual(warnings, []);
  writeFileSync(join(folder, "dist/index.html"), html('<script type="module" src="/main.js"></script>'));
  assert.equal(await title(join(folder, "dist")), "hello");
});

test("an app that imports only an error class gets nothing of the engine", async () => {
  const main = 'import { ConflictError } from "shizuku-kv";\nconsole.log(ConflictError);\n';
  const folder = await project("tree", { "main.js": main });
  const { build } = await import("esbuild");
  const entryPoints = [join(folder, "main.js")];
  const { outputFiles } = await build({ entryPoints, bundle: true, minify: true, format: "esm", write: false });
  const size = outputFiles[0]?.contents.length ?? 0;
  // All of it is ten times as much.
  assert.ok(size < 25_000, `${size} bytes`);
});

test("a page without a bundler loads it, with an import map", async () => {
  const folder = await project("plain", { "app.js": app("shizuku-kv"), "page.js": page });
  cpSync(join(folder, "node_modules/shizuku-kv/dist"), join(folder, "vendor"), { recursive: true });
  const map = JSON.stringify({ imports: { "shizuku-kv": "/vendor/web.js" } });
  const scripts = `<script type="importmap">${map}</script><script type="module" src="/page.js"></script>`;
  writeFileSync(join(folder, "index.html"), html(scripts));
  assert.equal(await title(folder), "hello");
});

test("Node runs it", async () => {
  const script = `import { main } from "./app.js";\nconsole.log(await main(...process.argv.slice(2)));\n`;
  const folder = await project("node", { "app.js": app("shizuku-kv"), "main.js": script });
  // Node 20 has WebSocket behind a flag.
  const flags = "WebSocket" in globalThis ? [] : ["--experimental-websocket"];
  const { stdout } = await run(process.execPath, [...flags, "main.js", nats.ws, bucket()], { cwd: folder });
  assert.equal(stdout, "hello\n");
});

test("Vite builds a worker that connects", async () => {
  const worker = `
import { main } from "./app.js";
onmessage = ({ data }) => {
  main(...data).then(postMessage, (error) => postMessage("failed: " + error.message));
};
`;
  const page = `
const query = new URLSearchParams(location.search);
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => { document.title = data; };
worker.onerror = ({ message }) => { document.title = "failed: " + message; };
worker.postMessage([query.get("server"), query.get("bucket")]);
`;
  const folder = await project("vite-worker", {
    "app.js": app("shizuku-kv"),
    "worker.js": worker,
    "page.js": page,
    "index.html": html('<script type="module" src="./page.js"></script>'),
  });
  const { build } = await import("vite");
  await build({ root: folder, logLevel: "error", configFile: false });
  assert.equal(await title(join(folder, "dist")), "hello");
});

test("the README lists exactly what a Content-Security-Policy must allow", async () => {
  const folder = await project("policy", { "app.js": app("shizuku-kv"), "page.js": page });
  const { build } = await import("esbuild");
  const outfile = join(folder, "dist/main.js");
  await build({ entryPoints: [join(folder, "page.js")], bundle: true, format: "esm", outfile });
  const under = (scripts: string, connections: string): Promise<string> => {
    const policy = `default-src 'none'; img-src data:; script-src 'self' ${scripts}; connect-src ${connections}`;
    const meta = `<meta http-equiv="Content-Security-Policy" content="${policy}">`;
    const text = html('<script type="module" src="/main.js"></script>');
    writeFileSync(join(folder, "dist/index.html"), text.replace("<title>", `${meta}<title>`));
    return title(join(folder, "dist"));
  };
  const wasm = "'wasm-unsafe-eval'";
  assert.equal(await under(`${wasm}; require-trusted-types-for 'script'`, nats.ws), "hello");
  assert.match(await under("", nats.ws), /^failed: cannot load WebAssembly: .*Content Security Policy/);
  assert.match(await under(wasm, "'none'"), /^failed: cannot reach .*Content-Security-Policy/);
});

test("the types work in a strict project", async () => {
  await compile("types", `
import { connect, ConflictError, type Entry, type Live } from "shizuku-kv";
import { useLive } from "shizuku-kv/react";
import * as v from "valibot";
import { z } from "zod";

interface Limits { readonly max: number }
const client = await connect("ws://localhost", { timeout: "5s" });
const store = await client.create("settings", { history: 5 });
const entry: Entry<Limits> | null = await store.get<Limits>("app.limits");
const max: number | undefined = entry?.json().max;
const live: Live<Limits> = store.live<Limits>("app.limits");
const zod = store.typed(z.object({ max: z.number(), note: z.string().default("") }));
await zod.put("app.limits", { max: 5 });
const note: string | undefined = (await zod.get("app.limits"))?.value.note;
const valibot = store.typed(v.object({ max: v.number() }));
const hook: { max: number } | undefined = useLive(valibot, "app.limits");
for await (const change of await valibot.watch()) { const n: number | undefined = change.value?.max; void n; break; }
// @ts-expect-error a number is no value
await store.put("k", 5);
// @ts-expect-error the schema says a number
await valibot.put("k", { max: "5" });
// @ts-expect-error no such unit
await store.put("k", "x", { ttl: "5 weeks" });
try { await store.update("k", "x", 1); } catch (error) {
  if (error instanceof ConflictError) { const code: "conflict" = error.code; void code; }
}
// Optional properties may be undefined.
const time: number | undefined = undefined;
const signal: AbortSignal | undefined = undefined;
await client.create("other", { ttl: time, history: time, update: undefined });
await store.get("k", { revision: time, leader: undefined });
await store.put("k", "x", { ttl: time, previousSeq: time });
await store.purge("k", { ttl: time });
await store.watch({ key: undefined, signal, include: undefined });
await valibot.watch({ onInvalid: undefined });
await store.lock("l", { timeout: time, label: undefined }).write({ signal });
// @ts-expect-error internal
store.watchAs({}, () => 5);
await using guard = await store.lock("l").write();
void [max, live, note, hook, guard.token, guard.signal];
`);
});

test("the declarations need few libraries", async () => {
  // Validators and React bring libraries of their own.
  const app = `
import { connect } from "shizuku-kv";
await using client = await connect("ws://localhost");
using live = (await client.create("settings")).live("app.limits");
void live.value;
`;
  await compile("few-libraries", app);
  await compile("bundler", app, { module: "esnext", moduleResolution: "bundler", lib: ["es2020", "webworker"] });
  await compile("no-platform", app, { lib: ["es2022"] });
});

test("without the library dom, the types are those of @types/node", async () => {
  const app = `
import { connect, type WasmSource } from "shizuku-kv";
const stop = new AbortController();
const client = await connect("ws://localhost", { signal: stop.signal });
const store = await client.create("settings");
const guard = await store.lock("job").write({ signal: stop.signal });
const signal: AbortSignal = guard.signal;
const sources: WasmSource[] = ["shizuku.wasm", new URL("file:///shizuku.wasm"), Buffer.from([])];
// @ts-expect-error not a signal
await store.watch({ signal: {} });
void [signal, sources];
`;
  await compile("types-node", app, { lib: ["es2022"], types: ["node"] });
});

test("what ignores exports finds every entry point", async () => {
  const imports = ["core", "web", "react"].map((name) => `export * as ${name} from "shizuku-kv/${name}";`).join("\n");
  const old = { module: "esnext", moduleResolution: "node10", ignoreDeprecations: "6.0" };
  await compile("node10", `${imports}\nexport { connect } from "shizuku-kv";\n`, { ...old, skipLibCheck: true });
  // Parcel's default; its resolver is not among our dependencies.
  const folder = await project("no-exports", { "main.js": imports });
  const problems = await webpack({
    mode: "development",
    context: folder,
    entry: "./main.js",
    externals: { react: "var {}" },
    output: { path: join(folder, "dist") },
    resolve: { exportsFields: [] },
    module: { rules: [{ resolve: { fullySpecified: false } }] },
  });
  assert.equal(problems, "");
});

/** Compiles a module in a strict project with few libraries. */
async function compile(name: string, app: string, more: object = {}): Promise<void> {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    target: "es2022",
    module: "nodenext",
    lib: ["es2022", "dom"],
    types: [],
    skipLibCheck: false,
    ...more,
  };
  const folder = await project(name, { "app.ts": app, "tsconfig.json": JSON.stringify({ compilerOptions }) });
  const tsc = join(JS, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [tsc, "-p", folder]).catch((error: { stdout: string }) => {
    assert.fail(error.stdout);
  });
}

test("publint and are-the-types-wrong find nothing", async () => {
  const resolve = createRequire(join(JS, "package.json")).resolve;
  const publint = join(JS, "node_modules/.bin/publint");
  await run(publint, [packed, "--strict"], { cwd: JS }).catch((error: { stdout: string }) => {
    assert.fail(error.stdout);
  });
  const attw = join(resolve("@arethetypeswrong/cli/package.json"), "../dist/index.js");
  // The package is ESM only, which every supported runtime can load.
  const flags = ["--profile", "esm-only", "--exclude-entrypoints", "shizuku.wasm"];
  await run(process.execPath, [attw, packed, ...flags]).catch((error: { stdout: string }) => {
    assert.fail(error.stdout);
  });
});
