/** The examples in the API reference and the README: all are compiled, and those that terminate are run. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import ts from "typescript";
import type * as Shizuku from "../ts/index.js";
import { JS } from "./support/browser.js";
import { act, type Nats, start } from "./support/nats.js";
import { load } from "./support/node.js";

interface Example {
  /** Its file, and its number in the file. */
  readonly name: string;
  readonly code: string;
  readonly isReact: boolean;
  /** The expected output, from the comments after `console.log(…);`. */
  readonly prints: readonly string[];
}

type Dial = (...given: never[]) => Promise<Shizuku.Client>;

/** The names that an example may use without declaring them. */
type Main = (
  client: Shizuku.Client,
  store: Shizuku.Store | undefined,
  console: { log(...values: unknown[]): void },
  connect: Dial,
  wsconnect: Dial,
) => Promise<void>;

const PRINTS = /console\.log\(.*\); \/\/ (.*)$/gm;

const STAND_INS = `
declare global {
  var customer: string;
  var limits: import("shizuku-kv").TypedStore<{ max: number }>;
  function charge(customer: string, how: { fence?: number; signal?: AbortSignal }): Promise<void>;
  function freshToken(): Promise<string>;
  function showBanner(text: string): void;
}`;

Object.assign(globalThis, {
  customer: "ann",
  charge: () => Promise.resolve(),
  freshToken: () => Promise.resolve("token"),
  showBanner: () => undefined,
});

function examples(file: string): Example[] {
  const text = readFileSync(join(JS, file), "utf8").replace(/^ *\* ?(?!\/)/gm, file.endsWith(".ts") ? "" : "$&");
  return [...text.matchAll(/^```(tsx?)\n([^]*?)^```$/gm)].map(([, language, code = ""], at) => ({
    name: `${file.replace(/\W/g, "-")}-${at + 1}`,
    code,
    isReact: language === "tsx",
    prints: [...code.matchAll(PRINTS)].map(([, text = ""]) => text),
  }));
}

const files = readdirSync(join(JS, "ts")).filter((file) => !file.endsWith(".d.ts"));
const all = [...files.map((file) => `ts/${file}`), "README.md"].flatMap(examples);
// Loops over a watch do not terminate.
const ends = ({ code }: Example): boolean => !/for await .*watch\((?!Holders)/.test(code);
const runnable = all.filter((example) => !example.isReact && ends(example));

let folder: string;
let nats: Nats;
let shizuku: typeof Shizuku;
let janitor: Shizuku.Client;

before(async () => {
  shizuku = await load();
  nats = await start();
  janitor = await shizuku.connect(nats.ws);
  const cache = join(JS, "node_modules", ".cache");
  mkdirSync(cache, { recursive: true });
  folder = mkdtempSync(join(cache, "examples-"));
  for (const example of all) writeFileSync(source(example), program(example));
  writeFileSync(join(folder, "stand-ins.d.ts"), `${STAND_INS}\nexport {};\n`);
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await janitor.close();
  await act("remove", nats);
});

function source({ name, isReact }: Example): string {
  return join(folder, `${name}.${isReact ? "tsx" : "ts"}`);
}

/** A module around an example, with the declarations it omits. */
function program({ code }: Example): string {
  const imports: string[] = code.match(/^import .*$/gm) ?? [];
  if (code.includes("z.object") && imports.length === 0) imports.push('import { z } from "zod";');
  const body = code.replace(/^import .*$/gm, "").replaceAll("wss://nats.example.com", nats.ws);
  const given = Object.keys(shizuku).filter((name) => !imports.some((line) => RegExp(`\\b${name}\\b`).test(line)));
  return `
import * as all from "shizuku-kv";
import { ${given.join(", ")} } from "shizuku-kv";
${imports.join("\n")}
type Console = { log(...values: unknown[]): void };
export async function main(
  client: all.Client, store: all.Store, console: Console, connect: typeof all.connect, wsconnect: typeof all.wsconnect,
): Promise<void> {
  const settings = store;
  {
${body}
  }
}
`;
}

test("every example compiles", () => {
  const { config } = ts.readConfigFile(join(JS, "tsconfig.json"), (file) => readFileSync(file, "utf8")) as {
    config: { compilerOptions: object };
  };
  const strict = ts.convertCompilerOptionsFromJson(config.compilerOptions, JS).options;
  const program = ts.createProgram([...all.map(source), join(folder, "stand-ins.d.ts")], {
    ...strict,
    noEmit: true,
    emitDeclarationOnly: false,
    declaration: false,
    rootDir: JS,
    jsx: ts.JsxEmit.ReactJSX,
    skipLibCheck: true,
    noUnusedLocals: false,
    noUnusedParameters: false,
    paths: { "shizuku-kv": [join(JS, "dist/index.d.ts")], "shizuku-kv/react": [join(JS, "dist/react.d.ts")] },
  });
  const faults = ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const line = file?.text.slice(0, start).split("\n").length ?? 0;
    return `${file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
  assert.deepEqual(faults, []);
});

test("there are examples to run", () => {
  assert.ok(runnable.length > 20, `${runnable.length}`);
});

for (const example of runnable) {
  test(`${example.name} prints what its comments say`, async () => {
    const outfile = join(folder, `${example.name}.mjs`);
    await build({
      entryPoints: [source(example)],
      outfile,
      bundle: true,
      packages: "external",
      alias: { "shizuku-kv": join(JS, "dist/index.js") },
      external: [join(JS, "dist/*")],
      format: "esm",
      target: "node20",
      logLevel: "warning",
    });
    const { main } = (await import(pathToFileURL(outfile).href)) as { main: Main };
    for (const bucket of await janitor.list()) await janitor.destroy(bucket);
    const { code } = example;
    // An open client would keep this process alive.
    const opened: Shizuku.Client[] = [];
    const connect = async (...given: Parameters<typeof Shizuku.wsconnect>): Promise<Shizuku.Client> => {
      const client = await shizuku.connect(...given);
      opened.push(client);
      return client;
    };
    const printed: string[] = [];
    const log = (...values: unknown[]): void => void printed.push(values.map(String).join(" "));
    try {
      const client = await connect({ servers: nats.ws });
      const opens = /\b(store|settings)\b/.test(code) && !/const (store|settings)\b/.test(code);
      const store = opens ? await client.create("examples") : undefined;
      await main(client, store, { log }, connect, connect);
    } finally {
      for (const one of opened) if (!one.isClosed()) await one.close();
    }
    assert.deepEqual(printed, example.prints);
  });
}
