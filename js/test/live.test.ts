/** Live values and live maps, in Node: shared watches and error handling. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { wsconnect } from "@nats-io/nats-core";
import { z } from "zod";
import type * as Shizuku from "../ts/index.js";
import { bucket } from "./support/nats.js";
import { local } from "./support/node.js";

const { shizuku, nats, client, store } = await local();
const other = await wsconnect({ servers: nats.ws });

after(() => other.close());

async function ask<T>(subject: string, body: object = {}): Promise<T> {
  return (await other.request(`$JS.API.${subject}`, JSON.stringify(body))).json<T>();
}

/** The number of consumers of the bucket, once it is `wanted` or after two seconds. */
async function consumers(wanted: number): Promise<number> {
  for (let tries = 0; ; tries += 1) {
    const { state } = await ask<{ state: { consumer_count: number } }>(`STREAM.INFO.KV_${store.bucket}`);
    if (state.consumer_count === wanted || tries > 40) return state.consumer_count;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until a live value or map meets a condition. */
async function until(live: Shizuku.Following<unknown>, is: () => boolean): Promise<void> {
  while (!is()) {
    await new Promise<void>((resolve) => {
      const unsubscribe = live.subscribe(() => {
        unsubscribe();
        resolve();
      });
    });
  }
}

test("the same schema returns the same view", () => {
  const [one, two] = [z.number(), z.number()];
  assert.equal(store.typed(one), store.typed(one));
  assert.notEqual(store.typed(one), store.typed(two));
  assert.equal(store.typed(), store.typed());
});

test("live values of one key share a watch, and closing the last one ends it", async () => {
  await store.put("shared", "5");
  const plain = store.live<number>("shared");
  await plain.ready;
  // A later one gets the current value, and decodes it itself.
  const late = store.typed(z.number().transform(String)).live("shared");
  await late.ready;
  assert.deepEqual([plain.value, late.value, late.revision], [5, "5", plain.revision]);
  const another = store.live("another");
  await another.ready;
  assert.equal(await consumers(2), 2);
  plain.close();
  plain.close();
  await store.put("shared", "6");
  await until(late, () => late.value === "6");
  assert.deepEqual([plain.value, plain.status], [5, "ended"]);
  late.close();
  assert.equal(await consumers(1), 1);
  const again = store.live("shared");
  await again.ready;
  assert.equal(again.value, 6);
  again.close();
  another.close();
  assert.equal(await consumers(0), 0);
});

test("a live value beyond the consumer limit retries, and reports the error", async () => {
  const name = bucket();
  const settings = { subjects: [`$KV.${name}.>`], max_msgs_per_subject: 1, max_consumers: 1 };
  const rest = { allow_direct: true, allow_rollup_hdrs: true, deny_delete: true, discard: "new" };
  await ask(`STREAM.CREATE.KV_${name}`, { name: `KV_${name}`, storage: "memory", ...settings, ...rest });
  const small = await client.open(name);
  const first = small.live("a");
  await first.ready;
  const second = small.live("b");
  await until(second, () => second.error !== undefined);
  assert.ok(second.error instanceof shizuku.ServerError, String(second.error));
  assert.deepEqual([second.error.apiCode, second.status], [10026, "loading"]);
  first.close();
  await second.ready;
  assert.deepEqual([second.status, second.error], ["current", undefined]);
  second.close();
  await small.destroy();
});

test("a permanent error ends a live value", async () => {
  const live = store.live("a..b");
  await assert.rejects(live.ready, { code: "invalid_key" });
  assert.deepEqual([live.status, live.error?.code], ["ended", "invalid_key"]);
});

test("a live map has the values of all keys that match its filter", async () => {
  await store.put("map.a", "1");
  await store.put("map.b", "2");
  await store.put("not.in.it", "3");
  const map = store.typed(z.number()).liveMap("map.>");
  const snapshots = [map.getSnapshot()];
  await map.ready;
  snapshots.push(map.getSnapshot());
  assert.equal(map.getSnapshot(), snapshots[1]);
  assert.deepEqual([map.size, map.get("map.a"), map.get("not.in.it"), map.status], [2, 1, undefined, "current"]);
  // Another one shares its watch, and gets the current values.
  const plain = store.liveMap("map.>");
  await plain.ready;
  assert.equal(await consumers(1), 1);
  assert.deepEqual(Object.fromEntries(plain), { "map.a": 1, "map.b": 2 });
  await store.put("map.c", "4");
  await store.delete("map.a");
  await until(map, () => map.size === 2 && map.get("map.c") === 4);
  assert.deepEqual([...map.entries()].sort(), [["map.b", 2], ["map.c", 4]]);
  // A good value of another key does not clear the error.
  await store.put("map.b", "no number");
  await store.put("map.c", "5");
  await until(map, () => map.get("map.c") === 5);
  assert.ok(map.error instanceof shizuku.DecodeError, String(map.error));
  assert.deepEqual([map.error.key, map.get("map.b")], ["map.b", 2]);
  await store.put("map.b", "6");
  await until(map, () => map.error === undefined);
  assert.deepEqual([map.get("map.b"), snapshots.map(({ size }) => size)], [6, [0, 2]]);
  map.close();
  plain.close();
  assert.equal(await consumers(0), 0);
});

test("a live map of all keys excludes locks", async () => {
  await store.put("beside", "1");
  const guard = await store.lock("held").write();
  const map = store.liveMap();
  await map.ready;
  assert.ok(map.size > 0);
  assert.deepEqual([...map.getSnapshot().keys()].filter((key) => key.startsWith("_")), []);
  map.close();
  await guard.release();
});
