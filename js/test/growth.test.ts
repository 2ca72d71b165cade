/** Neither wasm memory nor the JavaScript heap grows with use, measured in the browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bucket } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();

test("100 000 operations and 1 000 watches, half of them dropped, do not leak", async () => {
  const page = await here.open();
  const cdp = await page.context().newCDPSession(page);
  await page.evaluate(
    async ([url, name]) => {
      const memories: WebAssembly.Memory[] = [];
      const original = WebAssembly.Instance;
      // The package does not expose its memory.
      WebAssembly.Instance = new Proxy(original, {
        construct: (target, [module, imports]: [WebAssembly.Module, WebAssembly.Imports]) => {
          const instance = new target(module, imports);
          for (const one of Object.values(instance.exports)) {
            if (one instanceof WebAssembly.Memory) memories.push(one);
          }
          return instance;
        },
      });
      const client = await window.shizuku.connect(url);
      const store = await client.create(name, { storage: "memory" });
      const use = async (operations: number, watches: number): Promise<void> => {
        for (let done = 0; done < operations; done += 100) {
          const some = Array.from({ length: 100 }, (_, i) =>
            i % 2 === 0 ? store.put(`key.${i}`, "value".repeat(20)) : store.get(`key.${i - 1}`),
          );
          await Promise.all(some);
        }
        for (let done = 0; done < watches; done += 1) {
          // Every second one is dropped without `stop`: the garbage collector ends it.
          const watch = await store.watch({ key: "key.>" });
          await watch.next();
          if (done % 2 === 0) watch.stop();
          if (done % 50 !== 0) continue;
          // Gives the garbage collector time, so that the peak is not what is measured.
          (window as unknown as { gc(): void }).gc();
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      const wasm = (): number => memories.reduce((sum, one) => sum + one.buffer.byteLength, 0);
      Object.assign(window, { use, wasm });
    },
    [here.nats.ws, bucket()] as const,
  );
  interface Used {
    use(operations: number, watches: number): Promise<void>;
    wasm(): number;
  }
  const measure = async (): Promise<{ wasm: number; heap: number }> => {
    for (let i = 0; i < 3; i += 1) {
      await cdp.send("HeapProfiler.collectGarbage");
      await page.waitForTimeout(200);
    }
    const { usedSize } = await cdp.send("Runtime.getHeapUsage");
    const wasm = await page.evaluate(() => (window as unknown as Used).wasm());
    return { wasm, heap: usedSize };
  };
  const use = (operations: number, watches: number): Promise<void> =>
    page.evaluate(([o, w]) => (window as unknown as Used).use(o, w), [operations, watches] as const);
  await use(5000, 100);
  const before = await measure();
  await use(100_000, 1000);
  const after = await measure();
  console.log(`wasm ${before.wasm} → ${after.wasm} bytes, heap ${before.heap} → ${after.heap} bytes`);
  assert.ok(before.wasm > 0);
  assert.ok(after.wasm - before.wasm <= 1 << 20, "wasm memory grew");
  assert.ok(after.heap - before.heap < 1 << 20, "the heap grew");
  assert.deepEqual(page.faults, []);
});
