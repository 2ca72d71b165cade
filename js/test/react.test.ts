/** The hooks, in a page with React in strict mode. */
import assert from "node:assert/strict";
import { writeFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { JS, launch } from "./support/browser.js";
import { bucket, type Nats, shared } from "./support/nats.js";
import { serve, type Web } from "./support/web.js";

const APP = `
import { createElement as h, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "shizuku-kv";
import { useLive, useLiveMap, useLiveState } from "shizuku-kv/react";

const query = new URLSearchParams(location.search);
const connecting = connect(query.get("server")).then((client) => client.create(query.get("bucket")));
const json = { encode: JSON.stringify, decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)) };

function Value({ store, name }) {
  // The view is created during rendering, as apps do.
  const value = useLive(store?.typed(json), name);
  return h("output", {}, value === undefined ? "nothing" : JSON.stringify(value));
}

function State({ store }) {
  const { value, status, error, revision } = useLiveState(store, "s");
  return h("p", { id: "state" }, [value, status, error?.code, revision].join());
}

function Flags({ store }) {
  return h("p", { id: "flags" }, JSON.stringify([...useLiveMap(store, "flag.>")].sort()));
}

function App() {
  const [name, setName] = useState("a");
  const [store, setStore] = useState();
  useEffect(() => {
    // Until then the hooks have no store.
    window.go = () => connecting.then((store) => { setStore(window.store = store); });
  }, []);
  return h("main", {}, name && h(Value, { store, name }), h(State, { store }), h(Flags, { store }), ["a", "b", ""].map((to) =>
    h("button", { key: to, onClick: () => setName(to) }, "show " + to)));
}

createRoot(document.body).render(h(StrictMode, {}, h(App)));
`;

let browser: Browser;
let web: Web;
let nats: Nats;
const folder = join(JS, "node_modules", ".cache", `react-${process.pid}`);

before(async () => {
  [browser, nats] = await Promise.all([launch(), shared()]);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "index.html"),
    `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>react</title><body></body>
     <script type="module" src="/main.js"></script></html>`,
  );
  await build({
    stdin: { contents: APP, resolveDir: JS },
    outfile: join(folder, "main.js"),
    bundle: true,
    format: "esm",
    logLevel: "warning",
    define: { "process.env.NODE_ENV": '"development"' },
  });
  web = await serve(folder);
});

after(async () => {
  await browser.close();
  web.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a component subscribes to a key, switches to another, and unsubscribes", async () => {
  const page = await browser.newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  const name = bucket();
  await page.goto(`${web.url}/?${new URLSearchParams({ server: nats.ws, bucket: name }).toString()}`);
  const output = page.locator("output");
  const shows = (text: string): Promise<void> => output.filter({ hasText: text }).waitFor();
  const put = (key: string, value: string): Promise<void> =>
    page.evaluate(
      async ([key, value]) => {
        const { store } = window as unknown as { store: { put(k: string, v: string): Promise<number> } };
        await store.put(key, value);
      },
      [key, value] as const,
    );
  await shows("nothing");
  const state = page.locator("#state");
  const flags = page.locator("#flags");
  assert.deepEqual([await state.textContent(), await flags.textContent()], [",loading,,0", "[]"]);
  await page.evaluate(() => (window as unknown as { go(): Promise<void> }).go());
  await state.filter({ hasText: /^,current,,0$/ }).waitFor();
  await put("a", '{"n":1}');
  await shows('{"n":1}');
  await put("s", "5");
  await state.filter({ hasText: /^5,current,,2$/ }).waitFor();
  await put("s", "broken");
  await state.filter({ hasText: /^5,current,decode,2$/ }).waitFor();
  await put("flag.a", "true");
  await put("flag.b", "false");
  await flags.filter({ hasText: '[["flag.a",true],["flag.b",false]]' }).waitFor();
  await put("b", "7");
  await page.getByRole("button", { name: "show b" }).click();
  await shows("7");
  await put("b", "8");
  await shows("8");
  await page.getByRole("button", { name: "show", exact: true }).click();
  await output.waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
  await page.close();
});
