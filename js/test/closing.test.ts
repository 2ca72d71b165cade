/** Closing a client, in a page. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { act, consumers, type Nats, start } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();
let page: Page & { readonly faults: string[] };
let server: Nats;

before(async () => {
  [page, server] = await Promise.all([here.open(), start()]);
});

after(() => act("remove", server));

test("calls made before close complete", async () => {
  const codes = await page.evaluate(async (url) => {
    const client = await window.shizuku.connect(url);
    const store = await client.create("answered");
    // The server acknowledges receipt (PONG) long before all of them are stored.
    const puts = Array.from({ length: 500 }, (_, i) => store.put(`key.${i}`, "value"));
    const answers = Promise.all(puts.map((put) => put.then(() => "stored", (error: { code: string }) => error.code)));
    await client.close();
    return [...new Set(await answers)];
  }, server.ws);
  assert.deepEqual(codes, ["stored"]);
});

test("a watch stopped right before close leaves no consumer", async () => {
  await page.evaluate(async (url) => {
    for (let i = 0; i < 10; i += 1) {
      const client = await window.shizuku.connect(url);
      const store = await client.create("stopped");
      const live = store.live("key");
      await live.ready;
      live.close();
      await client.close();
    }
  }, server.ws);
  assert.equal(await consumers(server), 0);
});

test("there were no uncaught errors", () => {
  assert.deepEqual(page.faults, []);
});
