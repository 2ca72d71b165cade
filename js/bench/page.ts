/**
 * The page that measures: both packages, used as their documentation tells, and the Rust client
 * (`benches/web`), which has the same cases in Rust.
 *
 * @module
 */
import { Kvm } from "@nats-io/kv";
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "../ts/index.js";
import { rawLoad } from "./raw.js";

/** What both can do, so that both are measured by the same lines. */
interface Kv {
  put(key: string, value: string): Promise<number>;
  get(key: string): Promise<{ readonly value: Uint8Array } | null>;
  watch(options: { readonly key: string; readonly include?: "updates" }): Promise<Watched>;
}

interface Watched extends AsyncIterable<{ readonly key: string; readonly value: Uint8Array }> {
  stop(): void;
}

/** What wasm-bindgen makes of `benches/web`. */
interface Rust {
  default(): Promise<unknown>;
  run(name: string, url: string, bucket: string, count: number, value: string): Promise<number>;
}

type Package = "npm" | "peer";
/** Who does it; `raw` is a WebSocket alone, which can only load. */
export type Side = Package | "rust" | "raw";

interface Opened {
  readonly kv: Kv;
  close(): Promise<void>;
}

async function open(side: Package, url: string, bucket: string): Promise<Opened> {
  if (side === "npm") {
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

/** Cases of the packages by name; each answers one sample. */
const cases: Readonly<
  Record<string, (side: Package, url: string, bucket: string, count: number) => Promise<number>>
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

  /** Seconds until every key and value was handed out. */
  async "first load"(side, url, bucket, count) {
    const { kv, close } = await open(side, url, bucket);
    let [seen, bytes] = [0, 0];
    const took = await time(async () => {
      for await (const entry of await kv.watch({ key: "key.>" })) {
        seen += 1;
        bytes += entry.key.length + entry.value.length;
        if (seen === count) break;
      }
    });
    await close();
    if (bytes < 64 * count) throw new Error("the values are missing");
    return took / 1000;
  },

  /** Seconds until everything is in a map. */
  async "first load into a map"(side, url, bucket, count) {
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

/** One sample of a case. */
async function run(
  name: string,
  side: Side,
  url: string,
  bucket: string,
  count: number,
): Promise<number> {
  if (side === "rust") return rust.run(name, url, bucket, count, value);
  if (side === "raw") return rawLoad(url, bucket, count);
  const measure = cases[name];
  if (measure === undefined) throw new Error(`no such case: ${name}`);
  return measure(side, url, bucket, count);
}

declare global {
  interface Window {
    bench: { readonly fill: typeof fill; readonly run: typeof run };
  }
}

const module = "/gen/bench/bench.js";
const rust = (await import(module)) as Rust;
await rust.default();
window.bench = { fill, run };
