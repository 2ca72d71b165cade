/** Events that cast doubt on a page's connection make the client check it immediately. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { Page } from "playwright-core";
import type * as Shizuku from "../ts/index.js";
import { world } from "./support/world.js";

declare global {
  interface Window {
    client: Shizuku.Client;
    /** The number of PINGs sent. */
    pings: number;
    /** Whether there are this many within a second. By itself, the client pings only after 20 seconds. */
    pinged(many: number): Promise<boolean>;
  }
}

const here = world();
let page: Page;

before(async () => {
  page = await here.open();
  await page.evaluate(async (url) => {
    window.client = await window.shizuku.connect(url);
    await window.client.list();
    window.pings = 0;
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data) {
      if (new TextDecoder().decode(data as Uint8Array) === "PING\r\n") window.pings += 1;
      send.call(this, data);
    };
    window.pinged = async (many) => {
      const end = performance.now() + 1000;
      while (window.pings < many && performance.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return window.pings === many;
    };
  }, here.nats.ws);
});

for (const [target, event] of [
  ["window", "online"],
  ["window", "pageshow"],
  ["document", "visibilitychange"],
  ["document", "resume"],
] as const) {
  test(`${event} of the ${target}`, async () => {
    const seen = await page.evaluate(
      async ([target, event]) => {
        // Traffic, so that no ping is due.
        await window.client.list();
        const before = window.pings;
        globalThis[target].dispatchEvent(new Event(event));
        return [await window.pinged(before + 1), window.client.state];
      },
      [target, event] as const,
    );
    assert.deepEqual(seen, [true, "connected"]);
  });
}

test("a page that was offline", async () => {
  const pings = await page.evaluate(() => window.pings);
  await page.context().setOffline(true);
  // Chromium holds back WebSocket traffic, but closes no socket.
  const isCut = await page.evaluate(() => {
    const second = new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 1000));
    return Promise.race([window.client.list().then(() => false), second]);
  });
  assert.ok(isCut, "messages still arrive");
  await page.context().setOffline(false);
  assert.ok(await page.evaluate((many) => window.pinged(many), pings + 1));
  assert.equal(await page.evaluate(() => window.client.state), "connected");
});
