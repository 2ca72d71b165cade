/** Runtimes other than a page: workers, Node and Deno. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { JS, launch } from "./support/browser.js";
import { act, start } from "./support/nats.js";
import { connect } from "./support/node.js";
import { serve } from "./support/web.js";

/** Writes, reads and watches, and reports its progress. */
const scenario = `
import { connect } from "FROM";

export async function main(url, say) {
  const client = await connect(url);
  const store = await client.create("places");
  await store.put("key", "1");
  const read = await store.get("key");
  say("read " + read.string());
  const watch = await store.watch({
    key: "key",
    onCurrent: () => say("current"),
    onInterrupted: () => say("interrupted"),
  });
  for await (const entry of watch) {
    say("value " + entry.string());
    if (entry.string() === "2") break;
  }
  await client.close();
  say("closed");
}
`;

let work: string;

before(() => {
  // Not in node_modules, where Deno expects packages.
  work = mkdtempSync(join(JS, "gen/places-"));
});

after(() => {
  rmSync(work, { recursive: true, force: true });
});

/** The progress reports. */
type Said = AsyncIterator<string, unknown>;

/** Runs the scenario, and kills and restarts the server in the middle of it. */
async function go(name: string, begin: (url: string, said: (from: string) => string) => Promise<Said>) {
  const server = await start();
  const file = (from: string): string => {
    const path = join(work, `${name}.mjs`);
    writeFileSync(path, scenario.replace("FROM", from));
    return path;
  };
  const said = await begin(server.ws, file);
  const all: string[] = [];
  const until = async (wanted: string): Promise<void> => {
    do {
      const { value, done } = await said.next();
      if (done === true) assert.fail(`ended after ${all.join(", ")}`);
      all.push(value);
    } while (all.at(-1) !== wanted);
  };
  await until("current");
  await act("kill", server);
  await act("restart", server);
  await until("current");
  const other = await connect(server.ws);
  await (await other.open("places")).put("key", "2");
  await other.close();
  await until("closed");
  await act("remove", server);
  assert.deepEqual(all, ["read 1", "value 1", "current", "interrupted", "current", "value 2", "closed"]);
}

/** Runs the scenario in a command-line runtime. */
async function program(command: string, options: string[], scenario: string, url: string): Promise<Said> {
  const main = scenario.replace(/\.mjs$/, ".main.mjs");
  const script = `import { main } from "${scenario}";\nawait main("${url}", (text) => console.log(text));\n`;
  writeFileSync(main, script);
  const child: ChildProcess = spawn(command, [...options, main], { stdio: ["ignore", "pipe", "inherit"] });
  if (child.stdout === null) throw new Error("no output");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  await once(child, "spawn");
  return lines;
}

test("in Node", { timeout: 60_000 }, () =>
  go("node", (url, file) => {
    // Node 20 has WebSocket behind a flag.
    const options = process.versions.node.startsWith("20.") ? ["--experimental-websocket"] : [];
    return program(process.execPath, options, file(join(JS, "dist/index.js")), url);
  }),
);

test("in Deno", { timeout: 60_000 }, () =>
  go("deno", (url, file) => {
    const deno = join(JS, "node_modules/.bin/deno");
    const options = ["run", "--no-remote", "--allow-net=127.0.0.1"];
    return program(deno, options, file(join(JS, "dist/index.js")), url);
  }),
);

/** A worker of any kind, which posts the reports to the page. */
const worker = `
import { main } from "FROM";
if (typeof document !== "undefined") throw new Error("this is a page");
const begin = (say) => main("URL", say).catch((error) => say(String(error)));
if ("onconnect" in self) self.onconnect = ({ ports: [port] }) => { begin((text) => port.postMessage(text)); };
else if ("registration" in self) {
  self.onmessage = (event) => event.waitUntil(begin((text) => event.source.postMessage(text)));
} else begin((text) => postMessage(text));
`;

for (const kind of ["worker", "shared worker", "service worker"]) {
  test(`in a ${kind}`, { timeout: 60_000 }, async () => {
    const [browser, web] = await Promise.all([launch(), serve(JS)]);
    try {
      const page = await browser.newPage();
      await page.goto(web.url);
      const name = kind.replace(" ", "-");
      await go(name, async (url, file) => {
        const from = (path: string): string => path.slice(JS.length);
        const main = from(file("/dist/index.js"));
        const script = join(work, `${name}.main.mjs`);
        writeFileSync(script, worker.replace("FROM", main).replace("URL", url));
        const queue: string[] = [];
        let wake = (): void => undefined;
        await page.exposeFunction("said", (text: string) => {
          queue.push(text);
          wake();
        });
        await page.evaluate(begin, [kind, from(script)] as const);
        return {
          async next() {
            while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
            return { value: queue.shift() ?? "", done: false };
          },
        };
      });
    } finally {
      await browser.close();
      web.close();
    }
  });
}

/** In the page: starts a worker, and passes on its reports. */
async function begin([kind, path]: readonly [string, string]): Promise<void> {
  const { said } = window as unknown as { said(text: string): void };
  const listen = ({ data }: MessageEvent<string>): void => {
    said(data);
  };
  const fail = ({ message }: ErrorEvent): void => {
    said(message);
  };
  const options = { type: "module" } as const;
  if (kind === "worker") {
    const worker = new Worker(path, options);
    worker.onmessage = listen;
    worker.onerror = fail;
  } else if (kind === "shared worker") {
    const worker = new SharedWorker(path, options);
    worker.port.onmessage = listen;
    worker.onerror = fail;
  } else {
    navigator.serviceWorker.onmessage = listen;
    const { installing, active } = await navigator.serviceWorker.register(path, options);
    // A service worker is kept alive only by the events it handles.
    (installing ?? active)?.postMessage(null);
  }
}
