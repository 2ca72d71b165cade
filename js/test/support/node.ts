/** The package in the test's own process. */
import { join } from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import type * as Shizuku from "../../ts/index.js";
import { JS } from "./browser.js";
import { act, bucket, type Nats, shared, start } from "./nats.js";

/** Loads the built package. */
export async function load(): Promise<typeof Shizuku> {
  return (await import(pathToFileURL(join(JS, "dist/index.js")).href)) as typeof Shizuku;
}

export async function connect(url: string): Promise<Shizuku.Client> {
  const { connect } = await load();
  return connect(url);
}

export interface Local {
  readonly shizuku: typeof Shizuku;
  readonly nats: Nats;
  readonly client: Shizuku.Client;
  readonly store: Shizuku.Store;
}

/** A client and a bucket for all tests of a file, on the shared server or on its own one. */
export async function local(settings: Shizuku.StoreOptions & { readonly ownServer?: boolean } = {}): Promise<Local> {
  const { ownServer = false, ...options } = settings;
  const [shizuku, nats] = await Promise.all([load(), ownServer ? start() : shared()]);
  const client = await shizuku.connect(nats.ws);
  const store = await client.create(bucket(), options);
  after(async () => {
    await store.destroy();
    await client.close();
    if (ownServer) await act("remove", nats);
  });
  return { shizuku, nats, client, store };
}
