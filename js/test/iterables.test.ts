/** All async iterables, in Node: `return` ends them immediately, even while a `next` is pending. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { local } from "./support/node.js";

const { shizuku, nats, client, store } = await local();

const timeout = 10_000;
const kinds: Record<string, () => Promise<AsyncIterableIterator<unknown, undefined>>> = {
  "a watch": () => store.watch({ key: "none" }),
  "a typed watch": () => store.typed().watch({ key: "none" }),
  "the changes of a connection": () => Promise.resolve(client.status()),
  "the holders of a lock": async () => {
    const holders = store.lock("nobody").watchHolders();
    await holders.next();
    return holders;
  },
};

for (const [name, open] of Object.entries(kinds)) {
  test(`${name} ends while two calls of next are pending`, { timeout }, async () => {
    const iterable = await open();
    const waiting = [iterable.next(), iterable.next()];
    // Lets the requests go out.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const done = { done: true, value: undefined };
    assert.deepEqual(await iterable.return?.(), done);
    assert.deepEqual(await Promise.all([...waiting, iterable.next()]), [done, done, done]);
  });
}

test("a typed watch behaves like a plain one", { timeout }, async () => {
  const numbers = store.typed<number>();
  await assert.rejects(numbers.watch({ key: "a..b" }), { code: "invalid_key" });
  await numbers.put("n.1", 1);
  await numbers.put("n.2", 2);
  const watch = await numbers.watch({ key: "n.*" });
  const two = await Promise.all([watch.next(), watch.next()]);
  assert.deepEqual(two.map(({ value }) => value?.value), [1, 2]);
  const next = watch.next();
  await numbers.put("n.1", 3);
  assert.equal((await next).value?.value, 3);
  assert.equal(watch.isCurrent, true);
  watch.stop();
  assert.equal((await watch.next()).done, true);
});

test("the status iterator ends with the connection", { timeout }, async () => {
  const other = await shizuku.connect(nats.ws);
  const types: string[] = [];
  const status = other.status();
  const closing = other.close();
  for await (const { type } of status) types.push(type);
  await closing;
  assert.deepEqual(types, ["close"]);
});

test("an already aborted signal is an error, and aborting later ends the iterable", { timeout }, async () => {
  const kinds = [
    (signal: AbortSignal) => store.watch({ key: "none", signal }),
    (signal: AbortSignal) => store.typed().watch({ key: "none", signal }),
    (signal: AbortSignal) => Promise.resolve(store.lock("nobody").watchHolders({ signal })),
  ];
  for (const open of kinds) {
    const first = async (signal: AbortSignal): Promise<unknown> => (await open(signal)).next();
    await assert.rejects(first(AbortSignal.abort()), { code: "aborted" });
    const stop = new AbortController();
    const iterable = await open(stop.signal);
    setTimeout(() => { stop.abort(); }, 50);
    while ((await iterable.next()).done !== true);
  }
});
