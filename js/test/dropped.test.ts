/** Guards and clients that are no longer referenced keep working after a garbage collection. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import type * as Shizuku from "../ts/index.js";
import { act, connections, type Nats, start } from "./support/nats.js";
import { connect } from "./support/node.js";
import { world } from "./support/world.js";

const here = world();
let page: Page & { readonly faults: string[] };
let server: Nats;
let client: Shizuku.Client;

before(async () => {
  [page, server] = await Promise.all([here.open(), start()]);
  client = await connect(server.ws);
});

after(async () => {
  await client.close();
  await act("remove", server);
});

/** Collects garbage for longer than a lease of 3 s. */
async function collect(): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    await page.evaluate(() => {
      (window as unknown as { gc(): void }).gc();
    });
    await page.waitForTimeout(200);
  }
}

test("an unreferenced guard keeps its lock, and its signal still reports a loss", async () => {
  await page.evaluate(async (url) => {
    const client = await window.shizuku.connect(url);
    const store = await client.create("dropped");
    const guard = await store.lock("job", { lease: "3s" }).write();
    Object.assign(window, { signal: guard.signal, dropped: new WeakRef(guard) });
  }, server.ws);
  await collect();
  const isGone = await page.evaluate(
    () => (window as unknown as { dropped: WeakRef<Shizuku.Guard> }).dropped.deref() === undefined,
  );
  assert.ok(isGone, "nothing was collected");
  const store = await client.open("dropped");
  assert.equal(await store.lock("job").tryWrite(), null);
  await store.destroy();
  const reason = await page.evaluate(async () => {
    const { signal } = window as unknown as { signal: AbortSignal };
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return (signal.reason as Shizuku.LockLostError).code;
  });
  assert.equal(reason, "lock_lost");
});

test("an unreferenced client stays connected, and its store works", async () => {
  const before = await connections(server);
  await page.evaluate(async (url) => {
    const client = await window.shizuku.connect(url);
    Object.assign(window, { store: await client.create("stays") });
  }, server.ws);
  await collect();
  assert.equal(await connections(server), before + 1);
  const revision = await page.evaluate(() => (window as unknown as { store: Shizuku.Store }).store.put("key", "value"));
  assert.equal(revision, 1);
  assert.deepEqual(page.faults, []);
});
