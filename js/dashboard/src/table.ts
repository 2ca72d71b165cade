/**
 * The live table of keys, values and revisions, with a filter.
 *
 * @module
 */
import { ago, h } from "./dom.js";
import type { Model } from "./model.js";

interface Row {
  readonly element: HTMLTableRowElement;
  readonly button: HTMLButtonElement;
  readonly value: HTMLElement;
  readonly revision: HTMLElement;
  readonly age: HTMLElement;
}

export class Table {
  readonly element: HTMLElement;
  readonly filter: HTMLInputElement;
  readonly #model: Model;
  readonly #rows = new Map<string, Row>();
  readonly #body = h("tbody");
  readonly #count = h("span", { class: "count" });
  readonly #empty = h("p", { class: "empty", text: "Loading…" });
  readonly #select: (key: string) => void;
  #selected: string | undefined;

  constructor(model: Model, select: (key: string) => void, create: () => void) {
    this.#model = model;
    this.#select = select;
    this.filter = h("input", {
      type: "search",
      placeholder: "Filter keys and values",
      "aria-label": "Filter keys and values",
      "aria-keyshortcuts": "/",
      autocomplete: "off",
      spellcheck: "false",
      on: {
        input: () => {
          this.#refilter();
        },
      },
    });
    const heads = ["Key", "Value", "Revision", "Changed"].map((text, column) =>
      h("th", { scope: "col", text, class: ["key", "value", "revision", "age"][column] ?? "" }),
    );
    this.element = h(
      "section",
      { class: "card table", "aria-labelledby": "keys-title" },
      h(
        "div",
        { class: "bar" },
        h("h2", { id: "keys-title" }, "Keys ", this.#count),
        h("div", { class: "search" }, this.filter, h("kbd", { text: "/", "aria-hidden": "true" })),
        h("button", { class: "quiet", type: "button", text: "New key", on: { click: create } }),
      ),
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": "All keys" },
        h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.#body),
        this.#empty,
      ),
    );
    this.#body.addEventListener("keydown", (event) => {
      this.#keydown(event);
    });
    model.subscribe((key) => {
      if (key === undefined) this.#fill();
      else this.#change(key, true);
    });
    setInterval(() => {
      this.#ages();
    }, 1000);
  }

  /** Marks the row of the open key. */
  mark(key: string | undefined): void {
    const old = this.#rows.get(this.#selected ?? "");
    old?.element.removeAttribute("aria-current");
    this.#selected = key;
    this.#rows.get(key ?? "")?.element.setAttribute("aria-current", "true");
  }

  /** Focuses the open key, or the first one. */
  focus(): void {
    const row = this.#rows.get(this.#selected ?? "");
    (row?.button ?? this.#buttons()[0])?.focus();
  }

  #fill(): void {
    this.#body.replaceChildren();
    this.#rows.clear();
    for (const key of [...this.#model.items.keys()].sort()) this.#change(key, false);
    this.#refilter();
  }

  #change(key: string, isNews: boolean): void {
    const item = this.#model.items.get(key);
    let row = this.#rows.get(key);
    if (item === undefined) {
      row?.element.remove();
      this.#rows.delete(key);
    } else {
      row ??= this.#insert(key);
      row.value.textContent = item.text.slice(0, 200);
      row.revision.textContent = String(item.revision);
      row.age.textContent = ago(item.created);
      row.element.hidden = !this.#matches(key, item.text);
      if (isNews) flash(row.element);
    }
    if (isNews) this.#counted();
  }

  #insert(key: string): Row {
    const button = h("button", {
      type: "button",
      class: "name",
      text: key,
      on: {
        click: () => {
          this.#select(key);
        },
      },
    });
    const value = h("td", { class: "value" });
    const revision = h("td", { class: "revision" });
    const age = h("td", { class: "age" });
    const head = h("th", { scope: "row", class: "key" }, button);
    const element = h("tr", {}, head, value, revision, age);
    const row = { element, button, value, revision, age };
    this.#rows.set(key, row);
    const next = [...this.#body.rows].find((other) => (other.dataset["key"] ?? "") > key);
    element.dataset["key"] = key;
    this.#body.insertBefore(element, next ?? null);
    if (key === this.#selected) element.setAttribute("aria-current", "true");
    return row;
  }

  #matches(key: string, text: string): boolean {
    const words = this.filter.value.toLowerCase().split(/\s+/);
    const hay = `${key} ${text}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  }

  #refilter(): void {
    for (const [key, row] of this.#rows) {
      row.element.hidden = !this.#matches(key, this.#model.items.get(key)?.text ?? "");
    }
    this.#counted();
  }

  #counted(): void {
    const shown = this.#buttons().length;
    const all = this.#rows.size;
    this.#count.textContent = shown === all ? String(all) : `${shown} of ${all}`;
    this.#empty.hidden = shown > 0;
    this.#empty.textContent = all === 0 ? "No keys yet." : "No matching keys or values.";
  }

  #ages(): void {
    for (const [key, row] of this.#rows) {
      const created = this.#model.items.get(key)?.created;
      if (created !== undefined) row.age.textContent = ago(created);
    }
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.#body.querySelectorAll<HTMLButtonElement>("tr:not([hidden]) .name")];
  }

  #keydown(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    const ends = { Home: 0, End: -1 }[event.key];
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    const buttons = this.#buttons();
    const at = buttons.findIndex((button) => button === document.activeElement);
    const to = step === undefined ? (ends ?? 0) : Math.min(Math.max(at + step, 0), buttons.length - 1);
    buttons.at(to)?.focus();
  }
}

function flash(row: HTMLElement): void {
  row.classList.remove("changed");
  // Forces a reflow, which restarts the animation.
  void row.offsetWidth;
  row.classList.add("changed");
}
