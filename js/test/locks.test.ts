/** Locks between pages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bucket } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();

test("readers share, writers are exclusive, and tokens grow", async () => {
  const page = await here.open();
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const other = await window.shizuku.connect(url);
      const store = await client.create(name);
      const lock = store.lock("books", { label: "one" });
      const theirs = (await other.open(name)).lock("books", { label: "two" });
      const first = await lock.read();
      const second = await theirs.read();
      const refused = await theirs.tryWrite();
      let listed = await lock.holders();
      // The list of holders may lag a moment behind the acquire.
      if (listed.length < 2) for await (listed of lock.watchHolders()) if (listed.length === 2) break;
      await first.release();
      await second.release();
      const writer = await lock.write();
      const held = writer.held;
      const stop = new AbortController();
      const waiting = theirs.write({ signal: stop.signal }).catch((error: { code: string }) => error.code);
      setTimeout(() => {
        stop.abort();
      }, 100);
      const aborted = await waiting;
      const impatient = await (await other.open(name))
        .lock("books", { timeout: 200 })
        .write()
        .catch((error: { code: string }) => error.code);
      const grows = writer.token > second.token && second.token > first.token;
      await writer.release();
      await writer.release();
      const done = await theirs.with((guard) => [guard.held, guard.signal.aborted]);
      const after = writer.held;
      await store.destroy();
      await client.close();
      await other.close();
      const labels = listed.map((holder) => [holder.label, holder.mode, holder.holds]);
      return { refused, labels, held, aborted, impatient, grows, done, after };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, {
    refused: null,
    labels: [
      ["one", "read", true],
      ["two", "read", true],
    ],
    held: true,
    aborted: "aborted",
    impatient: "lock_timeout",
    grows: true,
    done: [true, false],
    after: false,
  });
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test("a time-out beyond the range of a browser's timers works", async () => {
  const page = await here.open();
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const other = await window.shizuku.connect(url);
      const store = await client.create(name);
      const theirs = await other.open(name);
      const guard = await store.lock("job").write();
      const patient = theirs.lock("job", { timeout: Number.MAX_SAFE_INTEGER }).write();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await guard.release();
      const granted = await patient;

      // Fakes time: a timer of more than a week fires immediately.
      const original = window.setTimeout;
      const long: number[] = [];
      const week = 7 * 86_400_000;
      window.setTimeout = ((work: () => void, delay = 0) => {
        if (delay > week) long.push(delay);
        return original(work, delay > week ? 0 : delay);
      }) as typeof setTimeout;
      const code = await store
        .lock("job", { timeout: "60d" })
        .write()
        .catch((error: { code: string }) => error.code);
      window.setTimeout = original;
      await granted.release();
      await store.destroy();
      await client.close();
      await other.close();
      return { long, code };
    },
    [here.nats.ws, bucket()] as const,
  );
  const longest = 2 ** 31 - 1;
  assert.deepEqual(seen, { long: [longest, longest, 60 * 86_400_000 - 2 * longest], code: "lock_timeout" });
  await page.context().close();
});

test("the lock of a killed tab goes to the next waiter", async () => {
  const name = bucket();
  const [one, two] = await Promise.all([here.open(), here.open()]);
  const take = async ([url, name, label]: readonly [string, string, string]): Promise<number> => {
    const client = await window.shizuku.connect(url);
    const store = await client.create(name);
    const queued = async (): Promise<void> => {
      for await (const holders of store.lock("job").watchHolders()) if (holders.length === 2) return;
    };
    Object.assign(window, { client, queued });
    const guard = await store.lock("job", { lease: "3s", label }).write();
    Object.assign(window, { guard });
    return guard.token;
  };
  const first = await one.evaluate(take, [here.nats.ws, name, "one"] as const);
  const second = two.evaluate(take, [here.nats.ws, name, "two"] as const);
  // It must be in the queue before the tab dies.
  await one.evaluate(() => (window as unknown as { queued: () => Promise<void> }).queued());
  const start = Date.now();
  // Crashes the renderer process, so that nothing is released.
  await one.goto("chrome://crash").catch(() => undefined);
  const token = await second;
  const waited = Date.now() - start;
  assert.ok(token > first, `${token} after ${first}`);
  // A lease and two seconds.
  assert.ok(waited < 5000, `waited for ${waited} ms`);
  assert.ok(waited > 500, `after ${waited} ms the lease cannot have run out: the tab released`);
  await two.context().close();
});

test("closing a client releases its locks", async () => {
  const page = await here.open();
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const other = await window.shizuku.connect(url);
      const lock = (await client.create(name)).lock("books", { lease: "60s" });
      const store = await other.open(name);
      const guard = await lock.write();
      const waiting = lock.write().catch((error: { code: string }) => error.code);
      await client.close();
      const start = performance.now();
      const next = await store.lock("books").write();
      const waited = performance.now() - start;
      await next.release();
      await store.destroy();
      await other.close();
      const { reason } = await guard.lost;
      return { held: guard.held, aborted: guard.signal.aborted, reason, waiting: await waiting, soon: waited < 2000 };
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, { held: false, aborted: true, reason: "closed", waiting: "closed", soon: true });
});

test("a guard reports the loss of its lock", async () => {
  const page = await here.open();
  const seen = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      const guard = await store.lock("job", { lease: "3s" }).write();
      await store.destroy();
      const error = await guard.lost;
      const late = await guard.release().catch((problem: { code: string }) => problem.code);
      await client.close();
      return [error.code, error.token === guard.token, guard.signal.aborted, guard.held, late];
    },
    [here.nats.ws, bucket()] as const,
  );
  assert.deepEqual(seen, ["lock_lost", true, true, false, "lock_lost"]);
  await page.context().close();
});
