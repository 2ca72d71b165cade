/**
 * The page's copy of the bucket: every key that has a value, kept up to date by one watch.
 *
 * @module
 */
import type { Entry, Store } from "../../ts/index.js";

/** A key with its latest value. */
export interface Item {
  readonly key: string;
  readonly text: string;
  readonly revision: number;
  readonly created: Date;
}

/** Called with the key that changed, or with `undefined` when the initial values are complete. */
export type Listener = (key: string | undefined) => void;

export class Model {
  readonly items = new Map<string, Item>();
  /** Whether the initial values are complete. */
  isCurrent = false;
  readonly #listeners = new Set<Listener>();
  readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  subscribe(listener: Listener): void {
    this.#listeners.add(listener);
  }

  /** Watches the bucket as long as the page is open. */
  async follow(): Promise<void> {
    const tell = (key: string | undefined): void => {
      for (const listener of this.#listeners) listener(key);
    };
    const watch = await this.store.watch({
      onCurrent: () => {
        this.isCurrent = true;
        tell(undefined);
      },
    });
    for await (const entry of watch) {
      this.#apply(entry);
      if (this.isCurrent) tell(entry.key);
    }
  }

  #apply(entry: Entry): void {
    const { key, revision, created } = entry;
    if (entry.removed) this.items.delete(key);
    else this.items.set(key, { key, revision, created, text: entry.string() });
  }
}
