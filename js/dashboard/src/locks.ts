/**
 * The locks, with their holders and waiters.
 *
 * @module
 */
import type { Holder, Store } from "../../ts/index.js";
import { ago, h } from "./dom.js";

export class Locks {
  readonly element: HTMLElement;
  readonly #store: Store;
  readonly #list = h("div", { class: "locks" });
  readonly #empty = h("p", { class: "empty", text: "Nobody holds a lock." });
  readonly #cards = new Map<string, HTMLElement>();

  constructor(store: Store) {
    this.#store = store;
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "locks-title" },
      h("div", { class: "bar" }, h("h2", { id: "locks-title", text: "Locks" })),
      this.#list,
      this.#empty,
    );
  }

  /** Finds locks by their entries in the bucket, and watches each. */
  async follow(): Promise<void> {
    const entries = await this.#store.watch({ key: "_lock.>", headers_only: true });
    for await (const entry of entries) {
      // `_lock.<name>.<holder>`; a name may contain dots.
      const name = entry.key.split(".").slice(1, -1).join(".");
      if (entry.removed || this.#cards.has(name)) continue;
      const card = h("article", { class: "lock" });
      this.#cards.set(name, card);
      this.#list.append(card);
      void this.#watch(name, card);
    }
  }

  async #watch(name: string, card: HTMLElement): Promise<void> {
    let holders: readonly Holder[] = [];
    const draw = (): void => {
      const people = (some: readonly Holder[], none: string): Node =>
        some.length === 0
          ? h("p", { class: "none", text: none })
          : h("ul", {}, ...some.map(person));
      const [hold, wait] = [holders.filter((one) => one.holds), holders.filter((one) => !one.holds)];
      const state = hold.some((one) => one.mode !== "read") ? "write" : hold.length > 0 ? "read" : "free";
      const words = { write: "1 writer", read: `${hold.length} reading`, free: "free" }[state];
      card.replaceChildren(
        h("header", {}, h("h3", { text: name }), h("span", { class: `badge ${state}`, text: words })),
        h("div", { class: "people" }, people(hold, "Nobody holds it.")),
        h("div", { class: "people waiting" }, h("h4", { text: "Waiting" }), people(wait, "Nobody.")),
      );
      this.#empty.hidden = this.#cards.size > 0;
    };
    const timer = setInterval(draw, 1000);
    try {
      for await (holders of this.#store.lock(name).watchHolders()) draw();
    } catch {
      // The connection badge shows why; the card is removed.
    }
    clearInterval(timer);
    card.remove();
    this.#cards.delete(name);
  }
}

function person(holder: Holder): HTMLElement {
  return h(
    "li",
    {},
    h("span", { class: "who", text: holder.label ?? holder.id }),
    h("span", { class: "token", text: `token ${holder.token ?? "unknown"}` }),
    h("time", { datetime: holder.since.toISOString(), text: ago(holder.since) }),
  );
}
