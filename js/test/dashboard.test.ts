/** The dashboard, end to end. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { JS, launch, screenshots } from "./support/browser.js";
import { dashboard, type Dashboard, look, service } from "./support/dashboard.js";
import { act, bucket, type Nats, start } from "./support/nats.js";

let browser: Browser;
let board: Dashboard;
let nats: Nats;
let work: ChildProcess;
const fleet = bucket();

before(async () => {
  [browser, board, nats] = await Promise.all([launch(), dashboard(), start()]);
  work = service(nats, fleet);
});

after(async () => {
  work.kill();
  await browser.close();
  board.close();
});

const key = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

async function edit(page: Page, name: string, text: string): Promise<void> {
  await key(page, name).click();
  await page.locator("textarea").fill(text);
}

async function saved(page: Page): Promise<void> {
  await page.locator("textarea").press("Control+s");
  await page.locator(".toast", { hasText: "Saved" }).first().waitFor();
}

interface Axe {
  run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
}

async function accessible(page: Page): Promise<void> {
  await page.evaluate(readFileSync(join(JS, "node_modules/axe-core/axe.min.js"), "utf8"));
  const found = await page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: Axe }).axe.run();
    return violations.map(({ id, nodes }) => [id, ...nodes.map((node) => node.html + node.failureSummary)]);
  });
  assert.deepEqual(found, []);
}

test("it is accessible and does not overflow, light and dark, wide and narrow", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const [name, width, height] of [
      ["wide", 1360, 900],
      ["narrow", 375, 812],
    ] as const) {
      const viewport = { width, height };
      const page = await look(browser, board, nats, fleet, { colorScheme, viewport, deviceScaleFactor: 2 });
      const faults: string[] = [];
      page.on("pageerror", (error) => faults.push(String(error)));
      await key(page, "app.limits").waitFor();
      await page.locator(".lock").first().waitFor();
      await page.waitForTimeout(name === "wide" ? 6000 : 1500);
      await page.screenshot({ path: join(screenshots(), `${name}-${colorScheme}.png`) });
      await accessible(page);
      await edit(page, "app.limits", '{"max_connections": 300');
      await page.waitForTimeout(200);
      await page.screenshot({ path: join(screenshots(), `${name}-${colorScheme}-edit.png`) });
      await accessible(page);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide`);
      assert.deepEqual(faults, []);
      await page.context().close();
    }
  }
});

test("the filter and the keyboard find a key", async () => {
  const page = await look(browser, board, nats, fleet);
  await key(page, "mail.sender").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("example.com mail");
  assert.equal(await page.locator("tbody tr:visible").count(), 1);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  assert.match(await page.locator("textarea").inputValue(), /hello@example\.com/);
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "mail.sender");
  await page.context().close();
});

test("two tabs see each other's edits, and a conflict shows both", async () => {
  const [one, two] = await Promise.all([
    look(browser, board, nats, fleet),
    look(browser, board, nats, fleet, { deviceScaleFactor: 2 }),
  ]);
  await edit(one, "app.banner", '"Hello"');
  await saved(one);
  await two.locator("tr", { hasText: '"Hello"' }).waitFor();

  await edit(two, "app.banner", '"Closed on Monday"');
  await edit(one, "app.banner", '"Big sale"');
  await saved(one);
  await two.locator(".conflict", { hasText: "Somebody else changed this value" }).waitFor();
  const both = await two.locator(".conflict pre").allTextContents();
  assert.deepEqual(both, ['"Big sale"', '"Closed on Monday"']);
  await two.screenshot({ path: join(screenshots(), "conflict.png") });
  await accessible(two);
  await two.getByRole("button", { name: "Keep yours" }).click();
  await one.locator("tr", { hasText: "Closed on Monday" }).waitFor();
  await two.locator(".revisions li:first-child", { hasText: "Closed on Monday" }).waitFor();
  const history = await two.locator(".revisions code").allTextContents();
  assert.deepEqual(history.slice(0, 3), ['"Closed on Monday"', '"Big sale"', '"Hello"']);
  await Promise.all([one.context().close(), two.context().close()]);
});

test("a key is created and deleted", async () => {
  const page = await look(browser, board, nats, fleet);
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("textbox", { name: "Letters, digits" }).fill("app.fresh");
  await accessible(page);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("textarea").fill("1");
  await saved(page);
  await key(page, "app.fresh").waitFor();
  page.on("dialog", (dialog) => void dialog.accept());
  await page.getByRole("button", { name: "Delete" }).click();
  await key(page, "app.fresh").waitFor({ state: "detached" });
  await page.context().close();
});

test("the locks view shows holders, waiters and tokens", async () => {
  const page = await look(browser, board, nats, fleet);
  const billing = page.locator(".lock", { hasText: "billing" });
  await billing.locator(".badge.write").waitFor();
  assert.match(await billing.locator(".people").first().innerText(), /\.example\s+token \d+/);
  await page.context().close();
});

test("the latency graph shows the measurements", { timeout: 30_000 }, async () => {
  const page = await look(browser, board, nats, fleet);
  const line = page.locator(".latency .line");
  const points = async (): Promise<[number, number][]> => {
    const text = (await line.getAttribute("points")) ?? "";
    return text.split(" ").map((point) => point.split(",").map(Number) as [number, number]);
  };
  const least = async (many: number): Promise<[number, number][]> => {
    while ((await points()).length < many) await page.waitForTimeout(50);
    return points();
  };
  const few = await least(3);
  const more = await least(few.length + 2);
  for (const [x, y] of more) assert.ok(x > 0 && x < 120 && y > 0 && y < 28, `${x}, ${y} is outside`);
  // Evenly spaced, with the newest at the right edge.
  const steps = more.slice(1).map(([x], at) => x - (more[at]?.[0] ?? 0));
  assert.ok(steps.every((step) => Math.abs(step - 112 / 39) < 0.2), `${steps}`);
  assert.equal(more.at(-1)?.[0], 116);
  assert.match(await page.locator(".latency .ms").innerText(), /^\d+(\.\d)? ms$/);
  // A paused server makes for one long round trip, which dwarfs all others.
  await act("pause", nats);
  await page.waitForTimeout(1000);
  await act("resume", nats);
  const peaks = async (): Promise<number> => (await points()).filter(([, y]) => y < 20).length;
  // Before that, the largest is not much larger than the others.
  while ((await peaks()) !== 1) await page.waitForTimeout(50);
  await page.context().close();
});

// The example service exits at the first error, so tests that need it come before.
test("the server restarts while the page is open", async () => {
  const page = await look(browser, board, nats, fleet);
  await key(page, "app.banner").waitFor();
  await act("kill", nats);
  await page.locator(".status.disconnected").waitFor();
  await act("restart", nats);
  await page.locator(".status.connected").waitFor();
  await edit(page, "app.banner", '"Back again"');
  await saved(page);
  await page.locator("tr", { hasText: "Back again" }).waitFor();
  await page.context().close();
});

test("the page goes offline and comes back", async () => {
  const [page, other] = await Promise.all([look(browser, board, nats, fleet), look(browser, board, nats, fleet)]);
  const sees = (text: string) => page.locator("tr", { hasText: text });
  await Promise.all([key(page, "app.banner").waitFor(), key(other, "app.banner").waitFor()]);
  await page.context().setOffline(true);
  await edit(other, "app.banner", '"Written meanwhile"');
  await saved(other);
  await other.locator("tr", { hasText: "Written meanwhile" }).waitFor();
  await page.waitForTimeout(500);
  assert.equal(await sees("Written meanwhile").count(), 0, "the page is not offline");
  await page.context().setOffline(false);
  await sees("Written meanwhile").waitFor();

  // Back online, but the old connection is dead: nothing arrives, and nothing is closed.
  await page.context().setOffline(true);
  await act("pause", nats);
  await page.context().setOffline(false);
  await page.locator(".status.disconnected").waitFor();
  await act("resume", nats);
  await page.locator(".status.connected").waitFor();
  await edit(page, "app.banner", '"Online again"');
  await saved(page);
  await sees("Online again").waitFor();
  await Promise.all([page.context().close(), other.context().close()]);
});
