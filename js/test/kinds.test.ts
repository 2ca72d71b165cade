/** The machine-readable fields of errors and holders, in Node. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { headers, wsconnect } from "@nats-io/nats-core";
import type * as Shizuku from "../ts/index.js";
import { JS } from "./support/browser.js";
import { act, bucket, start } from "./support/nats.js";
import { local } from "./support/node.js";

const { shizuku, nats, client, store } = await local();

/** The error that a call rejects with. */
async function refused(work: () => Promise<unknown>): Promise<unknown> {
  const nothing = Symbol();
  const error = await work().then(() => nothing, (error: unknown) => error);
  assert.notEqual(error, nothing, "it was not rejected");
  return error;
}

test("an invalid option is named as in the types", async () => {
  const option = async (work: () => Promise<unknown>): Promise<string> => {
    const error = await refused(work);
    assert.ok(error instanceof shizuku.InvalidOptionError);
    assert.match(error.message, RegExp(`^invalid ${error.option}: `));
    return error.option;
  };
  const wrong = (value: unknown): never => value as never;
  const create = (options: Shizuku.StoreOptions) => option(() => client.create("new", options));
  const connect = (options: Shizuku.ConnectOptions) =>
    option(() => shizuku.connect({ servers: nats.ws, ...options }));
  assert.deepEqual(
    {
      words: await option(() => store.put("k", "x", { ttl: wrong("soon") })),
      seconds: await option(() => store.put("k", "x", { ttl: 500 })),
      marker: await option(() => store.purge("k", { ttl: 500 })),
      revision: await option(() => store.update("k", "x", -1)),
      previous: await option(() => store.delete("k", { previousSeq: -1 })),
      resume: await option(() => store.watch({ resumeFromRevision: -1 })),
      include: await option(() => store.watch({ include: wrong("x") })),
      lease: await option(() => store.lock("l", { lease: 1 }).write()),
      history: await create({ history: 65 }),
      notWhole: await create({ history: 1.5 }),
      age: await create({ ttl: 1 }),
      markers: await create({ markerTTL: 500 }),
      value: await create({ maxValueSize: 2 ** 31 }),
      storage: await create({ storage: wrong("tape") }),
      timeout: await connect({ timeout: 0 }),
      request: await connect({ requestTimeout: 0 }),
      prefix: await connect({ apiPrefix: "a b" }),
      name: await connect({ name: wrong(5) }),
    },
    {
      words: "ttl",
      seconds: "ttl",
      marker: "ttl",
      revision: "revision",
      previous: "previousSeq",
      resume: "resumeFromRevision",
      include: "include",
      lease: "lease",
      history: "history",
      notWhole: "history",
      age: "ttl",
      markers: "markerTTL",
      value: "maxValueSize",
      storage: "storage",
      timeout: "timeout",
      request: "requestTimeout",
      prefix: "apiPrefix",
      name: "name",
    },
  );
});

test("differing settings are named as in the types", async () => {
  const options = { ttl: "1h", maxValueSize: 1000, history: 2 } as const;
  const error = await refused(() => client.create(store.bucket, options));
  assert.ok(error instanceof shizuku.BucketError);
  assert.deepEqual([error.bucket, error.settings], [store.bucket, ["history", "ttl", "maxValueSize"]]);
});

test("create opens an existing bucket unless a given setting differs", async () => {
  const name = bucket();
  const made = await client.create(name, { history: 4, description: "made first" });
  await made.put("key", "value");
  for (const options of [undefined, {}, { history: 4 }, { description: "made first" }]) {
    const opened = await new shizuku.Kvm(client).create(name, options);
    assert.equal((await opened.get("key"))?.string(), "value");
  }
  const error = await refused(() => client.create(name, { ttl: "1h" }));
  assert.ok(error instanceof shizuku.BucketError);
  assert.deepEqual(error.settings, ["ttl"]);
  assert.doesNotMatch(error.message, /history|description/);
  assert.equal((await made.status()).history, 4);
  await made.destroy();
});

test("an update changes only the given settings", async () => {
  const name = bucket();
  const metadata = { team: "blue" };
  const made = await client.create(name, { history: 4, max_bytes: 100_000, markerTTL: "3s", metadata });
  await made.put("key", "1");
  await made.put("key", "2");
  await client.create(name, { description: "changed", max_bytes: -1, update: true });
  const { history, description, max_bytes, markerTTL, metadata: kept } = await made.status();
  assert.deepEqual(
    { history, description, max_bytes, markerTTL, kept },
    { history: 4, description: "changed", max_bytes: undefined, markerTTL: 3000, kept: metadata },
  );
  assert.equal((await made.get("key", { revision: 1 }))?.string(), "1");
  await made.destroy();
});

test("unsupported options of @nats-io/kv are rejected if they would change what is stored", async () => {
  const kvm = new shizuku.Kvm(client);
  const name = bucket();
  const rot13 = { key: {}, value: {} };
  for (const [feature, value] of Object.entries({
    bindOnly: true,
    codec: rot13,
    mirror: { name: "other" },
    sources: [{ name: "other" }],
    streamName: "OTHER",
    republish: { src: ">", dest: "out.>" },
    placement: { cluster: "east" },
    allow_direct: false,
  })) {
    const options = { [feature]: value } as Shizuku.StoreOptions;
    for (const work of [() => kvm.create(name, options), () => kvm.open(store.bucket, options)]) {
      if (feature === "bindOnly" && work.toString().includes("open")) continue;
      const error = await refused(work);
      assert.ok(error instanceof shizuku.UnsupportedError, feature);
      assert.equal(error.feature, feature);
    }
  }
  assert.ok(!(await client.list()).includes(name));
  const harmless = { allow_direct: true, timeout: 2000, bindOnly: true };
  assert.equal((await kvm.open(store.bucket, harmless)).bucket, store.bucket);
});

test("json takes a reviver", async () => {
  await store.put("date", '{"at":"2026-01-01"}');
  const entry = await store.get("date");
  const read = entry?.json<{ at: Date }>((key, value) => (key === "at" ? new Date(String(value)) : value));
  assert.equal(read?.at.getUTCFullYear(), 2026);
});

test("an UnsupportedError names the feature", async () => {
  const plain = await client.create(bucket(), { markerTTL: 0 });
  const { connect } = (await import(join(JS, "dist/core.js"))) as typeof Shizuku;
  const small = await connect(nats.ws);
  const open = await small.open(plain.bucket);
  const seen: unknown[] = [];
  for (const work of [
    () => plain.put("k", "x", { ttl: "5s" }),
    () => plain.lock("l").write(),
    async () => open.lock("l"),
  ]) {
    const error = (await refused(work)) as Shizuku.UnsupportedError;
    seen.push([error.name, error.code, error.feature, error.retryable]);
  }
  assert.deepEqual(seen, [
    ["UnsupportedError", "unsupported", "a time to live per key", false],
    ["UnsupportedError", "unsupported", "locks", false],
    ["UnsupportedError", "unsupported", "locks", false],
  ]);
  assert.ok((await refused(() => plain.lock("l").write())) instanceof shizuku.UnsupportedError);
  await plain.destroy();
  await small.close();
});

test("advice in messages uses the TypeScript names", async () => {
  const plain = await client.create(bucket(), { markerTTL: 0 });
  for (const work of [() => plain.put("k", "x", { ttl: "5s" }), () => plain.lock("k").write()]) {
    const { message } = (await refused(work)) as Error;
    assert.match(message, /`markerTTL` with `create` and `update: true`/);
    assert.doesNotMatch(message, /limit_markers|update_bucket/);
  }
  await plain.destroy();
});

test("a permission error names the subject", async () => {
  const config = 'authorization { users = [{ user: a, password: b, permissions: { publish: { deny: ["$KV.b.no.>"] } } }] }';
  const server = await start({ config });
  const one = await shizuku.connect(server.ws, { user: "a", pass: "b" });
  const error = await refused(async () => (await one.create("b")).put("no.way", "x"));
  assert.ok(error instanceof shizuku.ServerError);
  assert.deepEqual([error.code, error.subject, error.retryable], ["permission_denied", "$KV.b.no.way", false]);
  await one.close();
  await act("remove", server);
});

test("an exhausted resource is retryable, other rejections are not", async () => {
  // Storage, which other buckets may free.
  const full = await refused(() => client.create(bucket(), { max_bytes: Number.MAX_SAFE_INTEGER }));
  assert.ok(full instanceof shizuku.ServerError, String(full));
  assert.deepEqual([full.code, full.apiCode, full.retryable], ["refused", 10047, true], String(full));
  const copies = await refused(() => client.create(bucket(), { replicas: 3 }));
  assert.ok(copies instanceof shizuku.ServerError);
  assert.deepEqual([copies.code, copies.retryable], ["refused", false]);
});

test("holders of a semaphore and of a newer version have their own modes", async () => {
  const other = await wsconnect({ servers: nats.ws });
  const write = (id: string, value: object): void => {
    other.publish(`$KV.${store.bucket}._lock.kinds.${id}`, JSON.stringify(value));
  };
  write("one", { v: 1, m: "p", n: 4, l: 60, w: 0 });
  write("two", { v: 2, m: "q" });
  await other.flush();
  await other.close();
  let modes: unknown[] = [];
  for await (const holders of store.lock("kinds").watchHolders()) {
    modes = holders.map(({ id, mode }) => `${id} ${mode}`).sort();
    if (modes.length === 2) break;
  }
  assert.deepEqual(modes, ["one permit", "two unknown"]);
});

test("the reason for losing a lock is both a code and a message", async () => {
  const guard = await store.lock("gone").write();
  const [holder] = await store.lock("gone").holders();
  const other = await wsconnect({ servers: nats.ws });
  const purge = headers();
  purge.set("KV-Operation", "PURGE");
  other.publish(`$KV.${store.bucket}._lock.gone.${holder?.id}`, "", { headers: purge });
  const error = await guard.lost;
  await other.close();
  assert.ok(error instanceof shizuku.LockLostError && guard.signal.reason === error);
  assert.deepEqual([error.reason, error.lock, error.token], ["gone", "gone", guard.token]);
  assert.equal(error.message, `lock gone (token ${guard.token}) was lost: its entry is gone`);
  const late = await refused(() => guard.release());
  assert.ok(late instanceof shizuku.LockLostError);
  assert.equal(late.reason, "gone");
});
