/** Failures: every rejection is a typed error with a stable code. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { Page } from "playwright-core";
import type * as Shizuku from "../ts/index.js";
import { act, bucket, start } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();
let page: Page & { readonly faults: string[] };

before(async () => {
  page = await here.open();
});

test("every failure has its class and code", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const { connect, ShizukuError, ...others } = window.shizuku;
      const client = await connect(url);
      const store = await client.create(name);
      await store.put("text", "no json");
      const fault = async (work: () => Promise<unknown>): Promise<string> => {
        try {
          await work();
          return "nothing";
        } catch (error) {
          if (!(error instanceof ShizukuError)) return `not ours: ${String(error)}`;
          // The name it is exported under, which differs in the minified code.
          const all = Object.entries({ ShizukuError, ...others });
          const [name = "a class that is not exported"] = all.find(([, one]) => one === error.constructor) ?? [];
          return error.name === name ? `${error.code} ${name}` : `${error.code} ${name}, called ${error.name}`;
        }
      };
      const wrong = (value: unknown): string => value as string;
      const round: Record<string, unknown> = {};
      round["self"] = round;
      const refusing: Shizuku.StandardSchema<unknown> = {
        "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "no" }] }) },
      };
      const guard = await store.lock("taken", { lease: "3s" }).write();
      const results = {
        key: await fault(() => store.get("a..b")),
        empty: await fault(() => store.put("", "x")),
        space: await fault(() => store.put("a b", "x")),
        noStrings: await Promise.all([
          fault(() => store.get(wrong(5))),
          fault(() => store.get(wrong({}))),
          fault(() => store.getMany([wrong(5)])),
          fault(() => store.put(wrong(null), "x")),
          fault(() => store.delete(wrong(Symbol()))),
          fault(() => store.keys(wrong(5))),
          fault(() => store.watch({ key: wrong(5) })),
          fault(() => store.live(wrong(5)).ready),
          // Unlike for a watch, a missing key does not mean all keys.
          fault(() => store.live(wrong(undefined)).ready),
          fault(() => store.typed().live(wrong(null)).ready),
          fault(() => store.lock(wrong(5)).write()),
          fault(() => client.open(wrong(undefined))),
          fault(() => client.create(wrong(undefined))),
          fault(() => client.destroy(wrong(5))),
        ]).then((all) => [...new Set(all)].join()),
        filter: await fault(() => store.watch({ key: "a.>.b" })),
        bucket: await fault(() => client.create("a b")),
        value: await fault(() => store.put("k", wrong(5))),
        ttl: await fault(() => store.put("k", "x", { ttl: wrong("soon") as "5s" })),
        bigTtl: await fault(() => store.put("k", "x", { ttl: wrong(5n) as "5s" })),
        halfSecond: await fault(() => store.put("k", "x", { ttl: 500 })),
        revision: await fault(() => store.update("k", "x", -5)),
        fraction: await fault(() => store.get("k", { revision: 1.5 })),
        include: await fault(() => store.watch({ include: wrong("x") as "" })),
        history: await fault(() => client.create("h", { history: 99 })),
        storage: await fault(() => client.create("h", { storage: wrong("tape") as "file" })),
        json: await fault(async () => (await store.get("text"))?.json()),
        typed: await fault(() => store.typed<unknown>().get("text")),
        cycle: await fault(() => store.typed<unknown>().put("k", round)),
        undef: await fault(() => store.typed<unknown>().put("k", undefined)),
        bigint: await fault(() => store.typed<unknown>().put("k", 5n)),
        validated: await fault(() => store.typed(refusing).put("k", 5)),
        tooLarge: await fault(() => store.put("k", new Uint8Array(2_000_000))),
        conflict: await fault(() => store.create("text", "x")),
        stale: await fault(() => store.update("text", "x", 77)),
        noBucket: await fault(() => client.open("nowhere")),
        mismatch: await fault(() => client.create(name, { history: 7 })),
        replicas: await fault(() => client.create("copies", { replicas: 3 })),
        reserved: await fault(() => store.put("_lock.x", "x")),
        lockName: await fault(() => store.lock("a b").write()),
        lease: await fault(() => store.lock("a", { lease: 1 }).write()),
        lockTimeout: await fault(() => store.lock("taken", { timeout: "100ms" }).write()),
        url: await fault(() => connect("ftp://x")),
        noUrl: await fault(() => connect({})),
        noAddress: await fault(() => connect(wrong(undefined))),
        // `condition && signal`, and `null`, which `fetch` accepts too.
        noSignals: await Promise.all([
          fault(async () => (await store.lock("free").write({ signal: wrong(false) as unknown as AbortSignal })).release()),
          fault(async () => (await connect(url, { signal: wrong(null) as unknown as AbortSignal })).close()),
        ]),
        aborted: await fault(() => connect(url, { signal: AbortSignal.abort() })),
        noServer: await fault(() => connect("ws://127.0.0.1:1", { timeout: "1s" })),
        secondInit: await fault(() => window.shizuku.init("/dist/shizuku.wasm")),
        sameInit: await fault(() => window.shizuku.init()),
      };
      await store.destroy();
      const lost = await fault(async () => {
        await guard.lost;
        await guard.release();
      });
      await client.close();
      const closed = {
        put: await fault(() => store.put("k", "x")),
        get: await fault(() => store.get("k")),
        watch: await fault(() => store.watch()),
        again: await fault(() => client.close()),
        state: client.state,
      };
      await client.closed();
      const bare = await fault(() => Promise.reject(new ShizukuError("internal", "bare")));
      return { ...results, lost, closed, bare };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    key: "invalid_key InvalidKeyError",
    empty: "invalid_key InvalidKeyError",
    space: "invalid_key InvalidKeyError",
    noStrings: "invalid_key InvalidKeyError",
    filter: "invalid_key InvalidKeyError",
    bucket: "invalid_key InvalidKeyError",
    value: "encode EncodeError",
    ttl: "invalid_option InvalidOptionError",
    bigTtl: "invalid_option InvalidOptionError",
    halfSecond: "invalid_option InvalidOptionError",
    revision: "invalid_option InvalidOptionError",
    fraction: "invalid_option InvalidOptionError",
    include: "invalid_option InvalidOptionError",
    history: "invalid_option InvalidOptionError",
    storage: "invalid_option InvalidOptionError",
    json: "decode DecodeError",
    typed: "decode DecodeError",
    cycle: "encode EncodeError",
    undef: "encode EncodeError",
    bigint: "encode EncodeError",
    validated: "invalid_value ValidationError",
    tooLarge: "too_large TooLargeError",
    conflict: "conflict ConflictError",
    stale: "conflict ConflictError",
    noBucket: "bucket_not_found BucketError",
    mismatch: "bucket_mismatch BucketError",
    replicas: "refused ServerError",
    reserved: "invalid_key InvalidKeyError",
    lockName: "invalid_key InvalidKeyError",
    lease: "invalid_option InvalidOptionError",
    lockTimeout: "lock_timeout LockTimeoutError",
    url: "invalid_url ConnectError",
    noUrl: "invalid_url ConnectError",
    noAddress: "invalid_url ConnectError",
    noSignals: ["nothing", "nothing"],
    aborted: "aborted AbortedError",
    noServer: "unreachable ConnectError",
    secondInit: "wasm WasmError",
    sameInit: "nothing",
    lost: "lock_lost LockLostError",
    closed: {
      put: "closed ClosedError",
      get: "closed ClosedError",
      watch: "closed ClosedError",
      again: "nothing",
      state: "closed",
    },
    bare: "internal ShizukuError",
  });
});

test("a conflict has the expected and the actual revision", async () => {
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      await store.put("k", "1");
      await store.put("k", "2");
      const error = await store.update("k", "3", 1).catch((problem: unknown) => problem);
      await store.destroy();
      await client.close();
      if (!(error instanceof window.shizuku.ConflictError)) return String(error);
      return { ...error, message: error.message, name: error.name };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.ok(typeof seen === "object", String(seen));
  assert.equal(seen.name, "ConflictError");
  assert.deepEqual([seen.code, seen.key, seen.expected], ["conflict", "k", 1]);
  assert.equal(seen.message, "key k is at revision 2, not 1");
});

test("wrong credentials are rejected, and right ones may come from a callback", async () => {
  const server = await start({ user: "app", password: "secret" });
  const seen = await page.evaluate(async (url) => {
    const code = (error: { code: string }): string => error.code;
    const { connect } = window.shizuku;
    const none = await connect(url).catch(code);
    const wrong = await connect(url, { user: "app", pass: "wrong" }).catch(code);
    const thrown = await connect(url, {
      authenticator: () => Promise.reject(new Error("no login")),
    }).catch((error: Error & { code: string }) => [error.code, error.message, error.cause]);
    const client = await connect(url, {
      authenticator: () => Promise.resolve({ user: "app", pass: "secret" }),
    });
    const { state } = client;
    await client.close();
    return { none, wrong, thrown, state };
  }, server.ws);
  assert.deepEqual([seen.none, seen.wrong, seen.state], [
    "authentication",
    "authentication",
    "connected",
  ]);
  assert.match(String(seen.thrown), /authentication.*no login.*,Error: no login/);
});

test("a client whose credentials are rejected on reconnect reports the reason", async () => {
  const server = await start({ user: "app", password: "secret" });
  const ended = page.evaluate(async (url) => {
    let pass = "secret";
    const client = await window.shizuku.connect(url, { authenticator: () => ({ user: "app", pass }) });
    const events: Shizuku.ConnectionEvent[] = [];
    client.subscribe((event) => events.push(event));
    pass = "wrong";
    document.title = "in";
    const error = await client.closed();
    return {
      events: events.map(({ type, reason }) => [type, typeof reason]),
      is: error instanceof window.shizuku.ConnectError,
      message: error?.message,
      reason: client.reason,
    };
  }, server.ws);
  await page.waitForFunction(() => document.title === "in");
  await act("restart", server);
  const { message, reason, ...seen } = await ended;
  assert.deepEqual(seen, { events: [["disconnect", "string"], ["close", "string"]], is: true });
  assert.match(String(message), /authorization/i);
  assert.equal(message, reason);
  await act("remove", server);
});

test("a credentials callback that never settles does not block the next connect", async () => {
  const server = await start({ user: "app", password: "secret" });
  const seen = await page.evaluate(async (url) => {
    let calls = 0;
    const client = await window.shizuku.connect(url, {
      timeout: "300ms",
      waitOnFirstConnect: true,
      authenticator: () => {
        calls += 1;
        return calls === 1 ? new Promise(() => undefined) : { user: "app", pass: "secret" };
      },
    });
    const end = Date.now() + 8000;
    while (client.state !== "connected" && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { state } = client;
    await client.close();
    return [state, calls];
  }, server.ws);
  assert.deepEqual(seen, ["connected", 2]);
  await act("remove", server);
});

test("waitOnFirstConnect waits until connected, rejected or aborted", async () => {
  const server = await start({ user: "app", password: "secret" });
  const seen = await page.evaluate(async (url) => {
    const code = (error: { code: string }): string => error.code;
    const wait = (pass: string, signal?: AbortSignal): Promise<string> =>
      window.shizuku
        .connect(url, { user: "app", pass, waitOnFirstConnect: true, signal })
        .then((client) => client.state, code);
    const stop = new AbortController();
    setTimeout(() => { stop.abort(); }, 100);
    const noServer = window.shizuku
      .connect("ws://127.0.0.1:1", { waitOnFirstConnect: true, signal: stop.signal })
      .catch(code);
    return [await wait("secret"), await wait("wrong"), await noServer];
  }, server.ws);
  assert.deepEqual(seen, ["connected", "authentication", "aborted"]);
  await act("stop", server);
  const late = page.evaluate(
    (url) =>
      window.shizuku
        .connect(url, { user: "app", pass: "secret", waitOnFirstConnect: true })
        .then(async (client) => {
          const { state, epoch } = client;
          await client.close();
          return [state, epoch];
        }),
    server.ws,
  );
  await act("restart", server);
  assert.deepEqual(await late, ["connected", 1]);
  await act("remove", server);
});

test("a failed load of the WebAssembly code names its URL, and can be retried", async () => {
  const seen = await page.evaluate(async ([url, module]) => {
    const fresh = (await import(module)) as typeof window.shizuku;
    const missing = await fresh
      .init("/dist/missing.wasm")
      .catch((error: { code: string; message: string }) => [error.code, error.message]);
    const broken = await fresh
      .init(new Uint8Array([0, 1, 2, 3]))
      .catch((error: { code: string; message: string }) => [error.code]);
    await fresh.init("/dist/shizuku.wasm");
    const client = await fresh.connect(url);
    const { state } = client;
    await client.close();
    return { missing, broken, state };
  }, [here.nats.ws, "/dist/web.js?fresh"] as const);
  assert.match(String(seen.missing), /^wasm,.*missing\.wasm: 404/);
  assert.deepEqual([seen.broken, seen.state], [["wasm"], "connected"]);
});

test("there were no uncaught errors", () => {
  assert.deepEqual(page.faults, []);
});
