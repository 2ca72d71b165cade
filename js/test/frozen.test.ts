/** A watch in a tab that the browser freezes and thaws continues and misses nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type * as Shizuku from "../ts/index.js";
import { act, type Nats, start } from "./support/nats.js";
import { connect } from "./support/node.js";
import { openTab } from "./support/tab.js";
import { world } from "./support/world.js";

declare global {
  interface Window {
    /** Everything the watch in the page has reported, in order. */
    told: string[];
    /** The page's lifecycle events. */
    lives: string[];
    /** When the page resumed, and when PINGs were sent, by the page's clock. */
    resumed: number;
    pingedAt: number[];
    /** Resolves once the watch has reported this. */
    until(wanted: string): Promise<void>;
  }
}

const here = world();

/** In the page: watches a bucket. */
async function follow([url, from]: readonly [string, string]): Promise<void> {
  let wake = (): void => undefined;
  window.told = [];
  const tell = (what: string): void => {
    window.told.push(what);
    wake();
  };
  window.until = async (wanted) => {
    while (!window.told.includes(wanted)) await new Promise<void>((resolve) => (wake = resolve));
  };
  window.lives = [];
  for (const event of ["freeze", "resume", "visibilitychange"]) {
    document.addEventListener(event, () => window.lives.push(event));
  }
  document.addEventListener("resume", () => (window.resumed = performance.now()));
  window.pingedAt = [];
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    if (new TextDecoder().decode(data as Uint8Array) === "PING\r\n") window.pingedAt.push(performance.now());
    send.call(this, data);
  };
  const { connect } = (await import(from)) as typeof Shizuku;
  const client = await connect(url);
  const store = await client.create("b", { history: 5 });
  await store.put("key", "first");
  const watch = await store.watch({
    onCurrent: () => {
      tell("current");
    },
    onInterrupted: () => {
      tell("interrupted");
    },
  });
  void (async () => {
    for await (const entry of watch) tell(`${entry.operation} ${entry.key} ${entry.string()}`);
  })();
  await window.until("current");
}

async function write(server: Nats, keys: readonly string[]): Promise<void> {
  const client = await connect(server.ws);
  const store = await client.open("b");
  for (const key of keys) await store.put(key, "value");
  await client.close();
}

interface Frozen {
  /** Everything the watch reported. */
  readonly told: readonly string[];
  /** The time from resuming to the next PING, in ms. */
  readonly pinged: number | undefined;
}

/** Runs a watch in a tab that is frozen while `meanwhile` runs. */
async function frozen(meanwhile: (server: Nats) => Promise<unknown>): Promise<Frozen> {
  const server = await start();
  const tab = await openTab(here.browser, `${here.web.url}/`);
  await tab.evaluate(follow, [server.ws, "/dist/index.js"] as const);
  await tab.freeze();
  await write(server, many("a"));
  await meanwhile(server);
  await write(server, many("b"));
  await tab.thaw();
  await write(server, ["last"]);
  const told = await tab.evaluate(async () => {
    await window.until("PUT last value");
    return window.told;
  }, null);
  assert.deepEqual(await tab.evaluate(() => window.lives, null), ["visibilitychange", "freeze", "resume"]);
  const pinged = await tab.evaluate(async () => {
    const { resumed } = window;
    const since = (): number | undefined => window.pingedAt.find((time) => time >= resumed);
    while (since() === undefined && performance.now() < resumed + 2000) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const time = since();
    return time === undefined ? undefined : time - resumed;
  }, null);
  await act("remove", server);
  return { told, pinged };
}

const many = (name: string): string[] => Array.from({ length: 200 }, (_, n) => `${name}.${n}`);

/** Asserts that every entry was reported once, in order. */
function complete(told: readonly string[]): void {
  const entries = told.filter((one) => one !== "current" && one !== "interrupted");
  const expected = [...many("a"), ...many("b"), "last"].map((key) => `PUT ${key} value`);
  assert.deepEqual(entries, ["PUT key first", ...expected]);
}

test("a frozen tab resumes where it was", { timeout: 60_000 }, async () => {
  // Longer than the client tolerates missing heartbeats.
  const { told, pinged } = await frozen(() => sleep(12_000));
  complete(told);
  // The connection is checked immediately, not 20 seconds after the last message.
  assert.ok(pinged !== undefined && pinged < 1000, `${pinged}`);
});

test("a tab whose server restarted while it was frozen reports the interruption", { timeout: 60_000 }, async () => {
  const { told } = await frozen(async (server) => {
    await act("kill", server);
    await act("restart", server);
  });
  complete(told);
  assert.ok(told.includes("interrupted"));
});
