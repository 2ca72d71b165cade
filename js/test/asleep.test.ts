/** A page that holds a lock and is suspended for longer than its lease never sees the lock as held afterwards. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import type * as Shizuku from "../ts/index.js";
import { JS, launch } from "./support/browser.js";
import { act, type Nats, start } from "./support/nats.js";
import { connect } from "./support/node.js";
import { openTab } from "./support/tab.js";
import { serve, type Web } from "./support/web.js";

declare global {
  interface Window {
    guard: Shizuku.Guard;
    live: Shizuku.Live<string>;
    /** Events, each with the guard's `held` and `signal.aborted`. */
    seen: [what: string, held: boolean, aborted: boolean][];
    /** Resolves once this event has been seen. */
    until(wanted: string): Promise<void>;
  }
}

let browser: Browser;
let web: Web;
let server: Nats;
let client: Shizuku.Client;

before(async () => {
  // With the back/forward cache, which Playwright disables.
  [browser, web, server] = await Promise.all([launch(["--disable-back-forward-cache"]), serve(JS), start()]);
  client = await connect(server.ws);
});

after(async () => {
  await client.close();
  await browser.close();
  web.close();
  await act("remove", server);
});

/** In the page: acquires a lock, and records events. */
async function hold([url, bucket, from]: readonly [string, string, string]): Promise<void> {
  const { connect } = (await import(from)) as typeof Shizuku;
  const store = await (await connect(url)).create(bucket);
  const guard = await store.lock("job", { lease: "3s" }).write();
  const live = store.live<string>("key");
  await live.ready;
  let wake = (): void => undefined;
  const seen: typeof window.seen = [];
  const see = (what: string): void => {
    seen.push([what, guard.held, guard.signal.aborted]);
    wake();
  };
  const until = async (wanted: string): Promise<void> => {
    while (!seen.some(([what]) => what === wanted)) await new Promise<void>((resolve) => (wake = resolve));
  };
  Object.assign(window, { guard, live, seen, until });
  for (const event of ["pageshow", "pagehide"]) window.addEventListener(event, () => { see(event); });
  for (const event of ["freeze", "resume"]) document.addEventListener(event, () => { see(event); });
  setInterval(() => {
    if (seen.length > 0 && !guard.signal.aborted) see("timer");
  }, 1);
  guard.signal.addEventListener("abort", () => { see("abort"); });
  live.subscribe(() => { see(`${String(live.value)} ${live.status}`); });
}

/** The events since the page resumed. */
function since(seen: Window["seen"], event: string): Window["seen"] {
  const from = seen.findIndex(([what]) => what === event);
  assert.ok(from >= 0, `no ${event}: ${JSON.stringify(seen)}`);
  return seen.slice(from);
}

test("a frozen tab", { timeout: 60_000 }, async () => {
  const store = await client.create("frozen");
  const tab = await openTab(browser, `${web.url}/`);
  await tab.evaluate(hold, [server.ws, "frozen", "/dist/index.js"] as const);
  await tab.freeze();
  const next = await store.lock("job").write();
  await tab.thaw();
  const seen = await tab.evaluate(async () => {
    await window.until("abort");
    return window.seen;
  }, null);
  await next.release();
  assert.deepEqual(since(seen, "resume").filter(([, held]) => held), []);
});

test("a page restored from the back/forward cache", { timeout: 60_000 }, async () => {
  const store = await client.create("left");
  const page = await browser.newPage();
  await page.goto(`${web.url}/`);
  await page.evaluate(hold, [server.ws, "left", "/dist/index.js"] as const);
  await page.goto(`${web.url}/?elsewhere`);
  await store.put("key", '"new"');
  const next = await store.lock("job").write();
  // A restored page fires no load event, which Playwright would wait for.
  await page.goBack({ waitUntil: "commit" });
  await page.waitForFunction(() => "seen" in window);
  const seen = await page.evaluate(async () => {
    await window.until("new current");
    return window.seen;
  });
  await next.release();
  const rest = since(seen, "pageshow");
  assert.deepEqual(rest.filter(([, held]) => held), []);
  assert.ok(rest.some(([what]) => what === "abort"), JSON.stringify(rest));
  await page.close();
});
