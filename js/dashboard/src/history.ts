/**
 * The history of a key.
 *
 * @module
 */
import type { Entry, Store } from "../../ts/index.js";
import { ago, h, pretty } from "./dom.js";

export class History {
  readonly element: HTMLElement;
  readonly #store: Store;
  readonly #list = h("ol", { class: "revisions" });
  readonly #restore: (text: string) => void;
  #asked = 0;

  constructor(store: Store, restore: (text: string) => void) {
    this.#store = store;
    this.#restore = restore;
    this.element = h(
      "section",
      { class: "history", "aria-labelledby": "history-title" },
      h("h3", { id: "history-title", text: "History" }),
      this.#list,
    );
  }

  /** Reloads the history; a late result of an earlier call is dropped. */
  async show(key: string): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    const entries: Entry[] = [];
    try {
      for await (const entry of await this.#store.history({ key })) entries.unshift(entry);
    } catch {
      return; // the connection badge shows why
    }
    if (asked !== this.#asked) return;
    this.#list.replaceChildren(...entries.map((entry) => this.#row(entry)));
  }

  #row(entry: Entry): HTMLElement {
    const text = entry.removed ? "" : entry.string();
    const what = entry.removed ? { DEL: "deleted", PURGE: "purged" }[entry.operation as "DEL"] ?? "expired" : "";
    return h(
      "li",
      {},
      h("span", { class: "revision", text: `#${entry.revision}` }),
      what === "" ? h("code", { text: text.slice(0, 120), title: pretty(text) }) : h("em", { text: what }),
      h("time", { datetime: entry.created.toISOString(), text: ago(entry.created) }),
      what === ""
        ? h("button", {
            type: "button",
            class: "quiet small",
            text: "Edit",
            "aria-label": `Edit from revision ${entry.revision}`,
            on: {
              click: () => {
                this.#restore(text);
              },
            },
          })
        : undefined,
    );
  }
}
