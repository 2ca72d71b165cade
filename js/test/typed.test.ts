/** Typed views, in Node: codecs and Standard Schema validators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import { z } from "zod";
import type * as Shizuku from "../ts/index.js";
import { bucket } from "./support/nats.js";
import { local } from "./support/node.js";

const { shizuku, client, store } = await local();

const zodLimits = z.object({ max: z.number().int(), note: z.string().default("none") });
const valibotLimits = v.object({ max: v.pipe(v.number(), v.minValue(1)) });

test("zod validates reads and writes, and its defaults apply", async () => {
  const limits = store.typed(zodLimits);
  const revision = await limits.create("zod", { max: 5 });
  const read = await limits.get("zod");
  assert.deepEqual(read?.value, { max: 5, note: "none" });
  assert.equal(read.revision, revision);
  // The input is stored, not the schema's output.
  assert.equal((await store.get("zod"))?.string(), '{"max":5}');
  await assert.rejects(limits.put("zod", { max: 1.5 }), (error: Shizuku.ValidationError) => {
    assert.ok(error instanceof shizuku.ValidationError);
    assert.deepEqual([error.code, error.key, error.revision], ["invalid_value", "zod", undefined]);
    assert.match(error.message, /max: /);
    return true;
  });
  await store.put("zod", '{"max":"five"}');
  await assert.rejects(limits.get("zod"), { code: "invalid_value", key: "zod" });
});

test("valibot validates reads and writes", async () => {
  const limits = store.typed(valibotLimits);
  const first = await limits.put("valibot", { max: 5 });
  await limits.update("valibot", { max: 6 }, first);
  await assert.rejects(limits.update("valibot", { max: 7 }, first), { code: "conflict" });
  await assert.rejects(limits.put("valibot", { max: 0 }), { code: "invalid_value" });
  await limits.updateWith("valibot", (now) => ({ max: (now?.max ?? 0) + 1 }));
  assert.equal((await limits.get("valibot"))?.value.max, 7);
  assert.equal(await limits.updateWith("valibot", () => undefined), undefined);
  await limits.delete("valibot");
  assert.equal(await limits.get("valibot"), null);
});

test("a codec encodes any type", async () => {
  const dates = store.typed<Date>({
    encode: (date) => date.toISOString(),
    decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
  });
  await dates.put("date", new Date(0));
  assert.equal((await dates.get("date"))?.value.getTime(), 0);
  const broken = store.typed<number>({
    encode: () => {
      throw new RangeError("too far");
    },
    decode: () => 0,
  });
  await assert.rejects(broken.put("date", 1), (error: Shizuku.EncodeError) => {
    assert.ok(error instanceof shizuku.EncodeError);
    return error.code === "encode" && error.cause instanceof RangeError;
  });
});

test("text is stored as it is", async () => {
  const colors = store.typed(shizuku.text);
  await colors.put("text", "\"blue\"");
  assert.equal((await store.get("text"))?.string(), '"blue"');
  assert.equal((await colors.get("text"))?.value, '"blue"');
  await assert.rejects(colors.put("text", 5 as unknown as string), shizuku.ShizukuError);
  await store.put("text", new Uint8Array([0xff]));
  await assert.rejects(colors.get("text"), shizuku.DecodeError);
});

test("a typed watch with onInvalid continues after a bad value", async () => {
  const limits = store.typed(valibotLimits);
  await store.put("w.1", '{"max":1}');
  await store.put("w.2", "broken");
  await store.put("w.3", '{"max":3}');
  const invalid: string[] = [];
  const seen: unknown[] = [];
  const onInvalid = (error: Shizuku.ShizukuError): void => {
    invalid.push(error.code);
  };
  for await (const change of await limits.watch({ key: "w.*", onInvalid })) {
    seen.push([change.key, change.value?.max]);
    if (change.key === "w.3") break;
  }
  assert.deepEqual([seen, invalid], [[["w.1", 1], ["w.3", 3]], ["decode"]]);
  await assert.rejects(
    async () => {
      for await (const change of await limits.watch({ key: "w.*" })) void change;
    },
    { code: "decode", key: "w.2" },
  );
});

test("a typed view has the methods of a store", async () => {
  const own = await client.create(bucket(), { history: 5 });
  const limits = own.typed(valibotLimits);
  await limits.put("app.a", { max: 1 });
  await limits.put("app.a", { max: 2 });
  await limits.put("app.b", { max: 3 });
  await own.put("other", "broken");
  const keys: string[] = [];
  for await (const key of await limits.keys("app.*")) keys.push(key);
  assert.deepEqual(keys.sort(), ["app.a", "app.b"]);
  const many = await limits.getMany("app.*");
  assert.deepEqual(many.map(({ value }) => value.max).sort(), [2, 3]);
  await assert.rejects(limits.getMany(["other"]), { code: "decode", key: "other" });
  await limits.delete("app.a");
  const seen: unknown[] = [];
  for await (const change of await limits.history({ key: "app.a" })) {
    // The types narrow on `operation`.
    if (change.operation === "PUT") seen.push(change.value.max);
    else seen.push(change.operation);
  }
  assert.deepEqual(seen, [1, 2, "DEL"]);
  await limits.purge("app.b");
  assert.equal(await limits.get("app.b"), null);
  assert.equal((await limits.status()).bucket, own.bucket);
  await limits.lock("job").with((guard) => {
    assert.equal(guard.held, true);
  });
  await own.destroy();
});

test("a typed live value", async () => {
  const limits = store.typed(valibotLimits);
  await limits.put("live", { max: 1 });
  const live = limits.live("live");
  await live.ready;
  assert.deepEqual(live.value, { max: 1 });
  const told = new Promise<void>((resolve) => {
    live.subscribe(resolve);
  });
  await limits.put("live", { max: 2 });
  await told;
  assert.deepEqual(live.value, { max: 2 });
  live.close();
});

test("a live value keeps the revision of its value, and the error has the bad one", async () => {
  const limits = store.typed(valibotLimits);
  const live = limits.live("bad");
  await live.ready;
  const seen: unknown[] = [[live.value, live.revision]];
  const revisions: number[] = [0];
  const writes = [() => limits.put("bad", { max: 1 }), () => store.put("bad", "broken"), () => store.put("bad", '{"max":0}')];
  for (const write of [...writes, () => store.delete("bad")]) {
    const told = new Promise<void>((resolve) => {
      const unsubscribe = live.subscribe(() => {
        unsubscribe();
        resolve();
      });
    });
    revisions.push(await write());
    await told;
    const { error } = live;
    const isBad = error instanceof shizuku.DecodeError || error instanceof shizuku.ValidationError;
    seen.push([live.value, live.revision, isBad ? error.revision : error]);
  }
  live.close();
  const [none, good, broken, refused, removal] = revisions;
  assert.deepEqual(seen, [
    [undefined, none],
    [{ max: 1 }, good, undefined],
    [{ max: 1 }, good, broken],
    [{ max: 1 }, good, refused],
    [undefined, removal, undefined],
  ]);
});

test("an error thrown by a listener is an uncaught exception in Node", async () => {
  const live = store.live("thrown");
  await live.ready;
  const uncaught = new Promise<Error>((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  const unsubscribe = live.subscribe(() => {
    throw new RangeError("a fault of the listener");
  });
  await store.put("thrown", "1");
  assert.equal((await uncaught).message, "a fault of the listener");
  unsubscribe();
  process.setUncaughtExceptionCaptureCallback(null);
  assert.deepEqual([live.status, live.value], ["current", 1]);
  live.close();
});

test("a typed update takes a TTL", { timeout: 10_000 }, async () => {
  const limits = store.typed(valibotLimits);
  const first = await limits.put("ttl", { max: 1 });
  await limits.update("ttl", { max: 2 }, first, { ttl: "1s" });
  for await (const change of await limits.watch({ key: "ttl" })) if (change.operation === "EXPIRE") break;
  assert.equal(await limits.get("ttl"), null);
});

test("durations may have units", async () => {
  await store.put("ttl", "x", { ttl: "2s" });
  await assert.rejects(store.put("ttl", "x", { ttl: "2 weeks" as "2s" }), { code: "invalid_option" });
  await assert.rejects(store.put("ttl", "x", { ttl: -1 }), { code: "invalid_option" });
});

test("`await using` finds its method", async () => {
  const symbols = Symbol as unknown as Record<string, symbol | undefined>;
  const asyncDispose = symbols["asyncDispose"] ?? Symbol.for("Symbol.asyncDispose");
  const guard = await store.lock("using").write();
  const dispose = (guard as unknown as Record<symbol, () => Promise<void>>)[asyncDispose];
  assert.equal(guard.held, true);
  await dispose?.call(guard);
  assert.equal(guard.held, false);
});
