/** Tabs that share a lock are repeatedly crashed, closed and reloaded; their logs show whether two ever held it at once. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "playwright-core";
import type * as Shizuku from "../ts/index.js";
import { act, type Nats, start } from "./support/nats.js";
import { connect } from "./support/node.js";
import { world } from "./support/world.js";

const here = world();
let server: Nats;

before(async () => {
  server = await start();
});

after(() => act("remove", server));

/** In the page: acquires the lock repeatedly, and logs when it holds it, by the machine's clock. */
async function work([url, from]: readonly [string, string]): Promise<void> {
  const { connect } = (await import(from)) as typeof Shizuku;
  const client = await connect(url);
  const log = await client.open("log");
  const lock = (await client.open("locks")).lock("job", { lease: "3s" });
  const round = async (): Promise<void> => {
    const isWriter = Math.random() < 0.6;
    const guard = await (isWriter ? lock.write() : lock.read());
    const mode = isWriter ? "write" : "read";
    const until = performance.now() + Math.random() * 200;
    do {
      if (!guard.held) break;
      await log.put(`hold.${guard.token}`, JSON.stringify({ mode, at: performance.timeOrigin + performance.now() }));
    } while (performance.now() < until);
    // On a busy machine the lease may lapse; `held` has then prevented further writes.
    await guard.release().catch(() => undefined);
  };
  void (async () => {
    for (;;) await round();
  })();
}

/** Runs one tab after another until `end`, and returns how many. */
async function tabs(end: number): Promise<number> {
  let many = 0;
  while (Date.now() < end) {
    many += 1;
    const page = await here.open();
    await page.evaluate(work, [server.ws, "/dist/index.js"] as const);
    await sleep(500 + Math.random() * 1500);
    await stop(page, many % 3);
    assert.deepEqual(page.faults, []);
  }
  return many;
}

async function stop(page: Page, how: number): Promise<void> {
  // A crashed page no longer responds.
  if (how === 0) await Promise.race([page.goto("chrome://crash").catch(() => undefined), sleep(2000)]);
  else if (how === 1) await page.reload();
  await page.context().close();
}

interface Hold {
  readonly token: number;
  readonly mode: "read" | "write";
  readonly first: number;
  readonly last: number;
}

test("writers are exclusive, and tokens grow", { timeout: 120_000 }, async () => {
  const client = await connect(server.ws);
  const locks = await client.create("locks");
  const log = await client.create("log", { history: 64, storage: "memory" });
  const end = Date.now() + 12_000;
  const many = (await Promise.all(Array.from({ length: 4 }, () => tabs(end)))).reduce((sum, one) => sum + one);
  // Holds left by the last tabs end with their leases.
  const start = Date.now();
  await (await locks.lock("job").write()).release();
  const waited = Date.now() - start;

  const holds = new Map<number, Hold>();
  for await (const entry of await log.history()) {
    const { mode, at } = entry.json<{ mode: Hold["mode"]; at: number }>();
    const token = Number(entry.key.slice("hold.".length));
    const { first } = holds.get(token) ?? { first: at };
    holds.set(token, { token, mode, first, last: at });
  }
  const all = [...holds.values()].sort((a, b) => a.first - b.first);
  console.log(`${many} tabs, ${all.length} holds, the last one after ${waited} ms`);
  for (const [index, one] of all.entries()) {
    for (const later of all.slice(index + 1)) {
      if (one.mode === "read" && later.mode === "read") continue;
      assert.ok(later.first > one.last, `${JSON.stringify(later)} beside ${JSON.stringify(one)}`);
      assert.ok(later.token > one.token, `${later.token} after ${one.token}`);
    }
  }
  assert.ok(all.length >= 10, `only ${all.length} holds of ${many} tabs`);
  assert.ok(waited < 5000, `${waited} ms`);
  await client.close();
});
