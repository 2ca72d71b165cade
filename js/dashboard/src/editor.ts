/**
 * The value editor. It never overwrites a value it has not shown: a save is conditional on the revision that
 * was read, and on a conflict both values are shown.
 *
 * @module
 */
import { ConflictError, ShizukuError } from "../../ts/index.js";
import { announce, ago, h, isJson, pretty } from "./dom.js";
import { History } from "./history.js";
import type { Item, Model } from "./model.js";

export class Editor {
  readonly element: HTMLElement;
  readonly #model: Model;
  readonly #title = h("h2", { id: "editor-title", tabindex: "-1" });
  readonly #meta = h("p", { class: "meta" });
  readonly #text: HTMLTextAreaElement;
  readonly #note = h("p", { class: "note", id: "editor-note", "aria-live": "polite" });
  readonly #save: HTMLButtonElement;
  readonly #conflict = h("div", { class: "conflict", role: "alert", hidden: true });
  readonly #body: HTMLElement;
  readonly #placeholder: HTMLElement;
  readonly #history: History;
  readonly #closed: () => void;
  #key: string | undefined;
  /** The revision that the text is based on; 0 for a new key. */
  #base = 0;
  #baseText = "";

  constructor(model: Model, closed: () => void) {
    this.#model = model;
    this.#closed = closed;
    this.#history = new History(model.store, (text) => {
      this.#text.value = pretty(text);
      this.#changed();
      this.#text.focus();
    });
    this.#text = h("textarea", {
      "aria-labelledby": "editor-title",
      "aria-describedby": "editor-note",
      spellcheck: "false",
      autocapitalize: "off",
      rows: "9",
      on: {
        input: () => {
          this.#changed();
        },
      },
    });
    const button = (text: string, kind: string, click: () => void, more = {}): HTMLButtonElement =>
      h("button", { type: "button", class: kind, text, on: { click }, ...more });
    this.#save = button("Save", "primary", () => void this.save(), {
      "aria-keyshortcuts": "Control+S Meta+S",
    });
    this.#body = h(
      "div",
      { class: "editor-body", hidden: true },
      this.#meta,
      this.#text,
      this.#note,
      this.#conflict,
      h(
        "div",
        { class: "actions" },
        this.#save,
        button("Revert", "quiet", () => {
          this.#reset();
        }),
        h("span", { class: "space" }),
        button("Delete", "danger", () => void this.#delete()),
      ),
      this.#history.element,
    );
    this.#placeholder = h(
      "div",
      { class: "placeholder" },
      h("p", { text: "Choose a key to read and edit its value." }),
      h("p", { class: "keys" }, h("kbd", { text: "/" }), " filter  ", h("kbd", { text: "↑" }), h("kbd", { text: "↓" }), " move  ", h("kbd", { text: "Enter" }), " open  ", h("kbd", { text: "Ctrl S" }), " save  ", h("kbd", { text: "Esc" }), " back"),
    );
    this.#title.textContent = "Value";
    this.element = h(
      "section",
      { class: "card editor", "aria-labelledby": "editor-title" },
      h("div", { class: "bar" }, this.#title),
      this.#placeholder,
      this.#body,
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#closed();
    });
    model.subscribe((key) => {
      if (key === this.#key && key !== undefined) this.#outside();
    });
    setInterval(() => {
      this.#describe();
    }, 1000);
  }

  get #isDirty(): boolean {
    return this.#text.value !== this.#baseText;
  }

  /** Opens a key, or starts a new one. */
  open(key: string): void {
    this.#key = key;
    this.#title.textContent = key;
    this.#placeholder.hidden = true;
    this.#body.hidden = false;
    this.#reset();
    void this.#history.show(key);
    this.#text.focus();
    this.element.scrollIntoView({ block: "nearest" });
  }

  async save(): Promise<void> {
    const key = this.#key;
    if (key === undefined || !this.#isDirty) return;
    const text = this.#text.value;
    this.#save.disabled = true;
    try {
      const revision =
        this.#base === 0
          ? await this.#model.store.create(key, text)
          : await this.#model.store.update(key, text, this.#base);
      this.#base = revision;
      this.#baseText = text;
      this.#conflict.hidden = true;
      announce(`Saved ${key} as revision ${revision}`);
    } catch (error) {
      if (error instanceof ConflictError) this.#clash(await this.#read(key));
      else announce(error instanceof ShizukuError ? error.message : String(error), "error");
    } finally {
      this.#save.disabled = false;
      this.#changed();
    }
  }

  async #read(key: string): Promise<Item | undefined> {
    const entry = await this.#model.store.get(key, { leader: true }).catch(() => null);
    if (entry === null || entry.removed) return undefined;
    return { key, text: entry.string(), revision: entry.revision, created: entry.created };
  }

  /** The open key was changed, perhaps by ourselves. */
  #outside(): void {
    const key = this.#key ?? "";
    void this.#history.show(key);
    const item = this.#model.items.get(key);
    if ((item?.revision ?? 0) === this.#base) return;
    // The watch reports our own save before its acknowledgement arrives.
    if (this.#save.disabled && item?.text === this.#text.value) return;
    if (this.#isDirty) this.#clash(item);
    else this.#reset();
  }

  /** Shows both values. */
  #clash(theirs: Item | undefined): void {
    const choose = (text: string, click: () => void, kind: string): HTMLButtonElement =>
      h("button", { type: "button", class: kind, text, on: { click } });
    const base = theirs?.revision ?? 0;
    const settle = (text: string): void => {
      this.#base = base;
      this.#baseText = pretty(theirs?.text ?? "");
      this.#text.value = text;
      this.#conflict.hidden = true;
      this.#changed();
      this.#text.focus();
    };
    const mine = this.#text.value;
    const what = theirs === undefined ? "deleted this key" : "changed this value";
    this.#conflict.replaceChildren(
      h("h3", { text: `Somebody else ${what}` }),
      h("p", { text: "Nothing is overwritten until you choose." }),
      h(
        "div",
        { class: "both" },
        h("figure", {}, h("figcaption", { text: theirs === undefined ? "Theirs: deleted" : `Theirs, revision ${base}` }), h("pre", { text: pretty(theirs?.text ?? ""), tabindex: "0" })),
        h("figure", {}, h("figcaption", { text: "Yours, not saved" }), h("pre", { text: mine, tabindex: "0" })),
      ),
      h(
        "div",
        { class: "actions" },
        choose("Keep yours", () => {
          settle(this.#text.value);
          void this.save();
        }, "primary"),
        choose("Take theirs", () => {
          settle(pretty(theirs?.text ?? ""));
        }, "quiet"),
        choose("Merge by hand", () => {
          settle(this.#text.value);
        }, "quiet"),
      ),
    );
    this.#conflict.hidden = false;
  }

  #reset(): void {
    const item = this.#model.items.get(this.#key ?? "");
    this.#base = item?.revision ?? 0;
    this.#baseText = pretty(item?.text ?? "");
    this.#text.value = this.#baseText;
    this.#conflict.hidden = true;
    this.#describe();
    this.#changed();
  }

  #describe(): void {
    const item = this.#model.items.get(this.#key ?? "");
    this.#meta.textContent =
      item === undefined
        ? "This key has no value yet."
        : `Revision ${item.revision}, ${ago(item.created)}, ${item.text.length} characters`;
  }

  #changed(): void {
    const text = this.#text.value;
    const wasJson = isJson(this.#baseText) || this.#baseText === "";
    this.#note.textContent = !this.#isDirty
      ? ""
      : wasJson && !isJson(text)
        ? "Not saved. This is not JSON."
        : "Not saved.";
    this.#note.classList.toggle("warn", this.#isDirty && wasJson && !isJson(text));
    this.#save.disabled = !this.#isDirty;
  }

  async #delete(): Promise<void> {
    const key = this.#key;
    const item = this.#model.items.get(key ?? "");
    if (key === undefined || item === undefined) return;
    if (!confirm(`Delete ${key}? Its history is kept.`)) return;
    try {
      await this.#model.store.delete(key, { previousSeq: item.revision });
      announce(`Deleted ${key}`);
    } catch (error) {
      announce(error instanceof Error ? error.message : String(error), "error");
    }
  }
}
