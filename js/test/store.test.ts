/** The API in a page, against a real server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { bucket } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();
let page: Page & { readonly faults: string[] };

before(async () => {
  page = await here.open();
});

after(() => {
  assert.deepEqual(page.faults, []);
});

test("a value is put, read, updated and removed", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name, { history: 5 });
      const first = await store.put("app.color", "blue");
      const entry = await store.get("app.color");
      const second = await store.update("app.color", JSON.stringify({ c: "green" }), first);
      const updated = await store.get<{ c: string }>("app.color");
      const old = await store.get("app.color", { revision: first });
      const none = await store.get("app.none");
      const removal = await store.delete("app.color");
      const removed = await store.get("app.color");
      const again = await store.create("app.color", new Uint8Array([1, 2, 3]));
      const history: unknown[] = [];
      for await (const one of await store.history({ key: "app.color" })) {
        history.push([one.operation, one.revision, one.length]);
      }
      await store.purge("app.color");
      const status = await store.status();
      const gone = await store.destroy();
      await client.close();
      return {
        bucket: entry?.bucket === name && store.bucket === name,
        first,
        text: entry?.string(),
        operation: entry?.operation,
        age: Math.abs(Date.now() - (entry?.created.getTime() ?? 0)),
        length: entry?.length,
        value: [...(entry?.value ?? [])],
        second,
        json: updated?.json().c,
        old: old?.string(),
        none,
        removal,
        removed: [removed?.operation, removed?.removed, removed?.length],
        again,
        history,
        status: [status.bucket === name, status.history, status.storage, status.replicas],
        gone,
      };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.ok(seen.age < 10_000, `created ${seen.age} ms ago`);
  assert.deepEqual(
    { ...seen, age: 0 },
    {
      bucket: true,
      first: 1,
      text: "blue",
      operation: "PUT",
      age: 0,
      length: 4,
      value: [98, 108, 117, 101],
      second: 2,
      json: "green",
      old: "blue",
      none: null,
      removal: 3,
      removed: ["DEL", true, 0],
      again: 4,
      history: [
        ["PUT", 1, 4],
        ["PUT", 2, 13],
        ["DEL", 3, 0],
        ["PUT", 4, 3],
      ],
      status: [true, 5, "file", 1],
      gone: true,
    },
  );
});

test("keys, many values, buckets and an update loop", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.wsconnect({ servers: [url] });
      const manager = new window.shizuku.Kvm(client);
      const store = await manager.create(name);
      for (const key of ["a.1", "a.2", "b.1"]) await store.put(key, key);
      await store.delete("b.1");
      const cleared = [await store.purgeDeletes(), await store.purgeDeletes(0)];
      const keys: string[] = [];
      for await (const key of await store.keys("a.*")) keys.push(key);
      const all: string[] = [];
      for await (const key of await store.keys()) all.push(key);
      const many = await store.getMany(["a.1", "b.1", "c.1", "a.2"]);
      const count = (): Promise<number | undefined> =>
        store.updateWith<number>("count", (now) => String((now?.json() ?? 0) + 1));
      await Promise.all(Array.from({ length: 10 }, count));
      const counted = await store.get<number>("count");
      const names = await manager.list();
      await store.destroy();
      const still = (await client.list()).includes(name);
      await client.close();
      return {
        cleared,
        keys: keys.sort(),
        all: all.sort(),
        many: many.map((entry) => entry.string()).sort(),
        counted: counted?.json(),
        listed: names.includes(name),
        still,
      };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    cleared: [0, 1],
    keys: ["a.1", "a.2"],
    all: ["a.1", "a.2"],
    many: ["a.1", "a.2"],
    counted: 10,
    listed: true,
    still: false,
  });
});

test("updateWith gives up only on the leader's revision", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      await store.put("seats", "0");
      const old = await store.get("seats");
      await store.put("seats", "2");
      // Simulates a replica that lags behind.
      const get = store.get.bind(store);
      store.get = ((key, options) =>
        options?.leader === true ? get(key, options) : Promise.resolve(old)) as typeof store.get;
      let asked = 0;
      const book = (): Promise<number | undefined> =>
        store.updateWith<number>("seats", (now) => {
          asked += 1;
          const left = now?.json() ?? 0;
          return left > 0 ? String(left - 1) : undefined;
        });
      const fail = (): Promise<unknown> =>
        store
          .updateWith("seats", () => {
            asked += 1;
            throw new RangeError("sold out");
          })
          .catch((error: unknown) => String(error));
      const booked = [await book(), await book(), await book()];
      const failed = await fail();
      // The first read already has the leader's revision: `change` is called once.
      const before = asked;
      store.get = get;
      const refused = [await book(), await fail()];
      await client.close();
      return [booked, failed, refused, asked - before];
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, [[3, 4, undefined], "RangeError: sold out", [undefined, "RangeError: sold out"], 2]);
});

test("a watch delivers initial values, then changes, and stops", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      await store.put("k.1", "one");
      await store.put("k.2", "two");
      const log: unknown[] = [];
      const stop = new AbortController();
      const watch = await store.watch({
        key: "k.*",
        signal: stop.signal,
        onCurrent: () => log.push("current"),
      });
      for await (const entry of watch) {
        log.push([entry.key, entry.operation, entry.isUpdate]);
        if (entry.key === "k.2" && !entry.isUpdate) void store.put("k.3", "three");
        if (entry.key === "k.3" && entry.operation === "PUT") await store.delete("k.3");
        if (entry.operation === "DEL") break;
      }
      const after = await watch.next();

      const aborted = await store.watch({ signal: stop.signal });
      let count = 0;
      setTimeout(() => {
        stop.abort();
      }, 50);
      for await (const _ of aborted) count += 1;
      let late = "";
      await store.watch({ signal: stop.signal }).catch((error: { code: string }) => {
        late = error.code;
      });

      const empty = await store.watch({ key: "nothing.>", onCurrent: () => log.push("empty") });
      const waiting = empty.next();
      await new Promise((resolve) => setTimeout(resolve, 100));
      empty.stop();
      const stopped = await waiting;
      const updates = await store.watch({ include: "updates" });
      await store.put("k.9", "nine");
      const update = await updates.next();
      updates.stop();
      await store.destroy();
      await client.close();
      return { log, after, count, late, stopped, update: update.value?.key };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    log: [
      ["k.1", "PUT", false],
      ["k.2", "PUT", false],
      "current",
      ["k.3", "PUT", true],
      ["k.3", "DEL", true],
      "empty",
    ],
    after: { done: true, value: undefined },
    count: 3, // the removal of k.3 too
    late: "aborted",
    stopped: { done: true, value: undefined },
    update: "k.9",
  });
});

test("a live value updates, and keeps the last good value", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      const live = store.live<{ n: number }>("limits");
      const statuses = [live.status];
      await live.ready;
      const values: unknown[] = [live.value];
      const next = (): Promise<void> =>
        new Promise((resolve) => {
          const unsubscribe = live.subscribe(() => {
            unsubscribe();
            resolve();
          });
        });
      const step = async (write: () => Promise<unknown>): Promise<void> => {
        const told = next();
        await write();
        await told;
        values.push(live.value);
      };
      await step(() => store.put("limits", '{"n":1}'));
      const same = live.getSnapshot() === live.value;
      await step(() => store.put("limits", "{broken"));
      const broken = live.error?.code;
      await step(() => store.put("limits", '{"n":2}'));
      const healed = live.error;
      await step(() => store.delete("limits"));
      const late = store.live<{ n: number }>("limits");
      await late.ready;
      statuses.push(live.status);
      live.close();
      late.close();
      statuses.push(live.status);
      await store.destroy();
      await client.close();
      return { statuses, values, same, broken, healed, late: late.value };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    statuses: ["loading", "current", "ended"],
    values: [undefined, { n: 1 }, { n: 1 }, { n: 2 }, undefined],
    same: true,
    broken: "decode",
    healed: undefined,
    late: undefined,
  });
});

test("an error thrown by a listener is reported, and affects nothing else", { timeout: 30_000 }, async () => {
  const own = await here.open();
  const seen = await own.evaluate(
    async ([url, name]) => {
      const reported: string[] = [];
      // Instead of in the page's list of faults.
      window.addEventListener("error", (event) => {
        reported.push((event.error as Error).message);
        event.preventDefault();
      });
      const fail = (what: string) => (): never => {
        throw new Error(what);
      };
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      const live = store.live<number>("k");
      await live.ready;
      const values: unknown[] = [];
      live.subscribe(fail("live"));
      const heard = new Promise<void>((resolve) => {
        const unsubscribe = live.subscribe(() => {
          values.push(live.value);
          if (values.length < 2) return;
          unsubscribe();
          resolve();
        });
      });
      await store.put("k", "1");
      await store.put("k", "2");
      await heard;
      const { status, error } = live;
      live.close();

      const watch = await store.watch({ onCurrent: fail("watch") });
      const first = await watch.next();
      const next = watch.next();
      await store.put("k", "3");
      const second = await next;
      watch.stop();

      const events: string[] = [];
      client.subscribe(fail("client"));
      client.subscribe((event) => events.push(event.type));
      await store.destroy();
      await client.close();
      await client.closed();
      const followed = [first, second].map(({ value }) => value?.string());
      return { reported, values, status, error, followed, events };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    reported: ["live", "live", "live", "watch", "client"],
    values: [1, 2],
    status: "current",
    error: undefined,
    followed: ["2", "3"],
    events: ["close"],
  });
  await own.context().close();
});

test("a value expires after its TTL", async () => {
  const operations = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name, { markerTTL: "1s" });
      const watch = await store.watch({ include: "updates" });
      await store.put("session", "x", { ttl: "1s" });
      const first = await watch.next();
      const second = await watch.next();
      watch.stop();
      await store.destroy();
      await client.close();
      return [first.value?.operation, second.value?.operation];
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(operations, ["PUT", "EXPIRE"]);
});
