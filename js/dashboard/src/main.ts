/**
 * The page: connects and assembles the parts.
 *
 * @module
 */
import { type Client, connect, type Store } from "../../ts/index.js";
import { announce, h, svg } from "./dom.js";
import { Editor } from "./editor.js";
import { Latency } from "./latency.js";
import { Locks } from "./locks.js";
import { Model } from "./model.js";
import { Table } from "./table.js";

interface Config {
  readonly server: string;
  readonly bucket: string;
}

const status = h("span", { class: "status connecting", role: "status", text: "Connecting" });
const bucketName = h("span", { class: "bucket" });
const tools = h("div", { class: "tools" }, status);
const main = h("main", {});
document.body.append(
  h(
    "header",
    { class: "top" },
    h("div", { class: "brand" }, drop(), h("h1", { text: "shizuku" }), bucketName),
    tools,
  ),
  main,
);

/** A drop: "shizuku" is Japanese for "drop". */
function drop(): SVGElement {
  const path = "M12 2c4 5.2 6.5 8.6 6.5 12.2a6.5 6.5 0 0 1-13 0C5.5 10.6 8 7.200 12 2z";
  return svg(
    "svg",
    { viewBox: "0 0 24 24", width: 26, height: 26, class: "drop", "aria-hidden": "true" },
    svg("path", { d: path }),
    svg("path", { d: "M9 14.500a3.200 3.200 0 0 0 2.600 3", class: "shine" }),
  );
}

function show(state: "connected" | "disconnected" | "closed" | "failed", text: string): void {
  status.className = `status ${state}`;
  status.textContent = text;
  document.body.dataset["state"] = state;
}

/** From the page's URL, or else from its server. */
async function config(): Promise<Config> {
  const query = new URLSearchParams(location.search);
  const response = await fetch("/config.json").catch(() => undefined);
  const served = (response?.ok === true ? await response.json() : {}) as Partial<Config>;
  const server = query.get("server") ?? served.server ?? "ws://127.0.0.1:9222";
  return { server, bucket: query.get("bucket") ?? served.bucket ?? "fleet" };
}

function newKey(editor: Editor, table: Table): void {
  const input = h("input", {
    id: "new-key",
    required: true,
    pattern: "[\\-\\/_=.A-Za-z0-9]+",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "app.greeting",
  });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "new-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "new-title", text: "New key" }),
      h("label", { for: "new-key", text: "Letters, digits and - / _ = in tokens separated by dots" }),
      input,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "primary", value: "create", text: "Continue" }),
        h("button", { class: "quiet", value: "", formnovalidate: true, text: "Cancel" }),
      ),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue !== "create") return;
    table.mark(input.value);
    editor.open(input.value);
  });
  document.body.append(dialog);
  dialog.showModal();
}

function build(store: Store): void {
  const model = new Model(store);
  const editor = new Editor(model, () => {
    table.focus();
  });
  const table: Table = new Table(
    model,
    (key) => {
      table.mark(key);
      editor.open(key);
    },
    () => {
      newKey(editor, table);
    },
  );
  const locks = new Locks(store);
  const latency = new Latency(store);
  tools.prepend(latency.element);
  main.append(
    h("div", { class: "column" }, table.element, locks.element),
    h("div", { class: "column" }, editor.element),
  );
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea");
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      table.filter.focus();
      table.filter.select();
    } else if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void editor.save();
    } else if (event.key === "Enter" && event.target === table.filter) {
      table.focus();
    }
  });
  const failed = (error: unknown): void => {
    show("failed", "Watch failed");
    announce(error instanceof Error ? error.message : String(error), "error");
  };
  model.follow().catch(failed);
  locks.follow().catch(failed);
  latency.start();
}

function follow(client: Client): void {
  const draw = (): void => {
    const words = { connected: "Connected", disconnected: "Reconnecting", closed: "Closed" };
    show(client.state, words[client.state]);
  };
  client.subscribe(draw);
  draw();
}

try {
  const { server, bucket } = await config();
  bucketName.textContent = bucket;
  const client = await connect(server, { name: "shizuku dashboard" });
  const store = await client.open(bucket).catch(() => client.create(bucket, { history: 16 }));
  follow(client);
  build(store);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  show("failed", "Not connected");
  main.append(
    h(
      "section",
      { class: "card failure", role: "alert" },
      h("h2", { text: "No connection" }),
      h("p", { text: message }),
      h("button", {
        class: "primary",
        type: "button",
        text: "Try again",
        on: {
          click: () => {
            location.reload();
          },
        },
      }),
    ),
  );
}
