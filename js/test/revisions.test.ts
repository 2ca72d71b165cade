/** Revision arguments, in Node: none is mistaken for the bindings' negative special values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type * as Shizuku from "../ts/index.js";
import { local } from "./support/node.js";

const { store } = await local({ history: 5 });

const wrong = [-1, -2, -3, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, "1", "", true, null, [1]] as number[];

test("a conditional write with an invalid revision is rejected, and changes nothing", async () => {
  const revision = await store.put("k", "one");
  for (const one of [...wrong, undefined as unknown as number]) {
    await assert.rejects(store.update("k", "two", one), { code: "invalid_option" }, `update ${one}`);
  }
  for (const previousSeq of wrong) {
    const refused = { code: "invalid_option" };
    await assert.rejects(store.put("k", "two", { previousSeq }), refused, `put ${previousSeq}`);
    await assert.rejects(store.put("new", "two", { previousSeq }), refused, `put ${previousSeq}`);
    await assert.rejects(store.delete("k", { previousSeq }), refused, `delete ${previousSeq}`);
    await assert.rejects(store.purge("k", { previousSeq }), refused, `purge ${previousSeq}`);
  }
  assert.deepEqual([(await store.get("k"))?.revision, await store.get("new")], [revision, null]);
});

test("a watch from an invalid revision is rejected", async () => {
  for (const resumeFromRevision of wrong) {
    await assert.rejects(store.watch({ resumeFromRevision }), { code: "invalid_option" }, `${resumeFromRevision}`);
  }
});

test("reads go to the requested replica, by revision too, and there is no revision 0", async () => {
  const first = await store.put("read", "one");
  await store.put("read", "two");
  const { send } = WebSocket.prototype;
  let asked = "";
  WebSocket.prototype.send = function (data) {
    asked += new TextDecoder().decode(data as Uint8Array);
    send.call(this, data);
  };
  const read = async (options: Shizuku.GetOptions): Promise<[string | undefined, boolean]> => {
    asked = "";
    const entry = await store.get("read", options);
    return [entry?.string(), asked.includes("STREAM.MSG.GET")];
  };
  try {
    assert.deepEqual(await read({}), ["two", false]);
    assert.deepEqual(await read({ leader: true }), ["two", true]);
    assert.deepEqual(await read({ revision: first }), ["one", false]);
    assert.deepEqual(await read({ revision: first, leader: true }), ["one", true]);
    assert.deepEqual(await read({ revision: 0 }), [undefined, false]);
  } finally {
    WebSocket.prototype.send = send;
  }
  for (const revision of wrong) {
    await assert.rejects(store.get("read", { revision }), { code: "invalid_option" }, `get ${revision}`);
  }
});

test("0 is the revision of a key that was never written", async () => {
  const first = await store.put("zero", "one", { previousSeq: 0 });
  await assert.rejects(store.update("zero", "two", 0), { code: "conflict", expected: 0, actual: first });
});
