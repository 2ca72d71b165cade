/** Chromium. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import type * as Shizuku from "../../ts/index.js";

declare global {
  interface Window {
    shizuku: typeof Shizuku;
  }
}

/** The package's folder. */
export const JS = process.env["SHIZUKU_JS"] ?? process.cwd();

/** Where screenshots are kept. */
export function screenshots(): string {
  const folder = join(JS, "..", "target", "screenshots");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Launches a browser, without some of Playwright's default flags if a test needs what they disable. */
export function launch(without: string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["CHROME"] ?? "/usr/bin/chromium",
    ignoreDefaultArgs: without,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--js-flags=--expose-gc",
      "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    ],
  });
}

/** Opens a blank page with the package as `window.shizuku`. Uncaught errors are collected in `faults`. */
export async function open(
  browser: Browser,
  url: string,
  entry = "/dist/index.js",
): Promise<Page & { readonly faults: string[] }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (process.env["SHIZUKU_VERBOSE"] !== undefined) console.error(message.text());
  });
  await page.goto(url);
  await page.evaluate(async (from) => {
    window.shizuku = (await import(from)) as typeof Shizuku;
  }, entry);
  return Object.assign(page, { faults });
}
