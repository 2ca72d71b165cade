/** Arguments that the types do not allow but JavaScript may pass, in Node: rejected before anything is sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type * as Shizuku from "../ts/index.js";
import { consumers } from "./support/nats.js";
import { local } from "./support/node.js";

const { shizuku, nats, client, store } = await local({ ownServer: true, description: "here" });
await store.put("key", "value");

/** Asserts that an option is rejected by name. */
async function refused(option: string, given: unknown, work: () => Promise<unknown>): Promise<void> {
  await assert.rejects(work, { name: "InvalidOptionError", code: "invalid_option", option }, `${option}: ${typeof given}`);
}

test("a runtime without WebSocket is not supported", async () => {
  const socket = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  assert.ok(socket);
  Reflect.deleteProperty(globalThis, "WebSocket");
  try {
    const error = { name: "UnsupportedError", code: "unsupported", feature: "WebSocket", retryable: false };
    await assert.rejects(shizuku.connect(nats.ws, { waitOnFirstConnect: true }), error);
  } finally {
    Object.defineProperty(globalThis, "WebSocket", socket);
  }
});

test("a flag must be a boolean", async () => {
  // wasm-bindgen would coerce them.
  for (const given of ["true", "false", "", 0, 1, {}, 2n, Symbol("true")] as unknown[] as boolean[]) {
    await refused("leader", given, () => store.get("key", { leader: given }));
    await refused("headers_only", given, () => store.watch({ headers_only: given }));
    await refused("ignoreDeletes", given, () => store.watch({ ignoreDeletes: given }));
    await refused("update", given, () => client.create(store.bucket, { description: "there", update: given }));
    await refused("compression", given, () => client.create("new", { compression: given }));
    await refused("waitOnFirstConnect", given, () => shizuku.connect(nats.ws, { waitOnFirstConnect: given }));
  }
  assert.equal((await store.status()).description, "here");
  const none = null as unknown as undefined;
  assert.equal((await store.get("key", { leader: none }))?.string(), "value");
});

test("options must be an object", async () => {
  const kvm = new shizuku.Kvm(client);
  const typed = store.typed<string>();
  const lock = store.lock("options");
  for (const given of [null, true, 5, "text"] as unknown[] as object[]) {
    const uses: Record<string, () => unknown> = {
      connect: () => shizuku.connect(nats.ws, given),
      clientCreate: () => client.create(store.bucket, given),
      kvmCreate: () => kvm.create(store.bucket, given),
      kvmOpen: () => kvm.open(store.bucket, given),
      get: () => store.get("key", given),
      put: () => store.put("key", "x", given),
      update: () => store.update("key", "x", 1, given),
      delete: () => store.delete("key", given),
      purge: () => store.purge("key", given),
      history: () => store.history(given),
      watch: () => store.watch(given),
      typedGet: () => typed.get("key", given),
      typedPut: () => typed.put("key", "x", given),
      typedUpdate: () => typed.update("key", "x", 1, given),
      typedDelete: () => typed.delete("key", given),
      typedPurge: () => typed.purge("key", given),
      typedHistory: () => typed.history(given),
      typedWatch: () => typed.watch(given),
      lock: async () => store.lock("options", given),
      typedLock: async () => typed.lock("options", given),
      write: () => lock.write(given),
      read: () => lock.read(given),
      watchHolders: () => lock.watchHolders(given).next(),
    };
    for (const [name, use] of Object.entries(uses)) {
      const expected = { name: "InvalidOptionError", code: "invalid_option", option: "options" };
      await assert.rejects(async () => use(), expected, `${name} ${String(given)}`);
    }
    const expected = { code: "invalid_option", option: "schema or codec" };
    await assert.rejects(async () => store.typed(given as Shizuku.Codec<string>), expected);
  }
  // Here a number or a string is a time to live.
  for (const use of [store.create.bind(store), typed.create.bind(typed)]) {
    await refused("options", null, () => use("new", "x", null as unknown as object));
  }
  assert.equal((await store.get("key"))?.string(), "value");
});

test("metadata must be an object of strings", async () => {
  for (const given of [5, true, "text", { team: 5 }, { team: null }, [1]] as unknown[]) {
    const metadata = given as Record<string, string>;
    await refused("metadata", given, () => client.create(store.bucket, { metadata, update: true }));
  }
});

test("a signal must be an AbortSignal, or falsy", async () => {
  const lock = store.lock("signal");
  const uses: readonly ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => lock.write({ signal }).then((guard) => guard.release()),
    (signal) => store.watch({ signal }).then((watch) => watch.return()),
    (signal) => shizuku.connect(nats.ws, { signal }).then((other) => other.close()),
    async (signal) => {
      for await (const holders of lock.watchHolders({ signal })) return holders;
      return [];
    },
  ];
  // `condition && signal`
  for (const none of [undefined, null, false, "", 0] as unknown[]) {
    for (const use of uses) await use(none as AbortSignal);
  }
  const there = await consumers(nats);
  for (const given of [true, {}, "x", new AbortController()] as unknown[]) {
    for (const use of uses) await refused("signal", given, () => use(given as AbortSignal));
  }
  assert.deepEqual(await lock.holders(), []);
  // No watch was left open that nobody could stop.
  assert.ok((await consumers(nats)) <= there);
});

test("a live value takes a single key", async () => {
  let sent = "";
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    sent += new TextDecoder().decode(data as Uint8Array);
    send.call(this, data);
  };
  try {
    for (const key of ["a.*", "a.>", ">", "a b", "", undefined as unknown as string]) {
      for (const live of [store.live(key), store.typed().live(key)]) {
        const refusal = { name: "InvalidKeyError", code: "invalid_key", key: String(key) };
        await assert.rejects(live.ready, refusal);
        assert.equal(live.status, "ended");
        assert.equal(live.error?.code, "invalid_key");
        live.close();
      }
    }
    assert.equal(sent, "");
  } finally {
    WebSocket.prototype.send = send;
  }
  // A live map takes the filter.
  const map = store.liveMap("a.*");
  await map.ready;
  map.close();
});
