/**
 * The page that measures: both packages, used as their documentation tells.
 *
 * @module
 */
import { Kvm } from "@nats-io/kv";
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "../ts/index.js";

/** What both can do, so that both are measured by the same lines. */
interface Kv {
  put(key: string, value: string): Promise<number>;
  get(key: string): Promise<{ readonly value: Uint8Array } | null>;
  watch(options: { readonly key: string; readonly include?: "updates" }): Promise<Watched>;
}

interface Watched extends AsyncIterable<{ readonly key: string; readonly value: Uint8Array }> {
  stop(): void;
}

export type Side = "ours" | "peer";

interface Opened {
  readonly kv: Kv;
  close(): Promise<void>;
}

async function open(side: Side, url: string, bucket: string): Promise<Opened> {
  if (side === "ours") {
    const client = await connect(url);
    return { kv: await client.open(bucket), close: () => client.close() };
  }
  const connection = await wsconnect({ servers: url });
  return { kv: await new Kvm(connection).open(bucket), close: () => connection.close() };
}

const value = JSON.stringify({ name: "a setting", text: "x".repeat(64), on: true, n: 12345 });

/** Milliseconds for `work`. */
async function time(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Makes a bucket, and `count` keys in it. */
export async function fill(url: string, bucket: string, count: number): Promise<void> {
  const client = await connect(url);
  const store = await client.create(bucket, { storage: "memory" });
  for (let at = 0; at < count; at += 500) {
    const some = Array.from({ length: Math.min(500, count - at) }, (_, i) => `key.${at + i}`);
    await Promise.all(some.map((key) => store.put(key, value)));
  }
  await client.close();
}

/** Cases by name; each answers one sample. */
export const cases: Readonly<
  Record<string, (side: Side, url: string, bucket: string, count: number) => Promise<number>>
> = {
  /** Microseconds each. */
  async put(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    await kv.put("bench", value);
    const took = await time(async () => {
      for (let i = 0; i < count; i += 1) await kv.put("bench", value);
    });
    await close();
    return (took * 1000) / count;
  },

  async get(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    await kv.put("bench", value);
    const took = await time(async () => {
      for (let i = 0; i < count; i += 1) await kv.get("bench");
    });
    await close();
    return (took * 1000) / count;
  },

  /** Writes a second, with 64 under way. */
  async "64 in flight"(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    await kv.put("bench", value);
    let left = count;
    const worker = async (n: number): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await kv.put(`bench.${n}`, value);
      }
    };
    const took = await time(() => Promise.all(Array.from({ length: 64 }, (_, n) => worker(n))));
    await close();
    return (count * 1000) / took;
  },

  /** Microseconds from the call of put to the change in a watch of the same connection. */
  async "live update"(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    const watch = await kv.watch({ key: "live", include: "updates" });
    const changes = watch[Symbol.asyncIterator]();
    await kv.put("live", value);
    await changes.next();
    const took = await time(async () => {
      for (let i = 0; i < count; i += 1) {
        const change = changes.next();
        void kv.put("live", value);
        await change;
      }
    });
    watch.stop();
    await close();
    return (took * 1000) / count;
  },

  /** Seconds until everything is in a map. */
  async "first load"(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    const map = new Map<string, Uint8Array>();
    const took = await time(async () => {
      for await (const entry of await kv.watch({ key: "key.>" })) {
        map.set(entry.key, entry.value);
        if (map.size === count) break;
      }
    });
    await close();
    if (map.size !== count) throw new Error(`${map.size} keys`);
    return took / 1000;
  },
};

declare global {
  interface Window {
    bench: { readonly fill: typeof fill; readonly cases: typeof cases };
  }
}

window.bench = { fill, cases };
