/** The dashboard, built and served, with the example service behind it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { JS } from "./browser.js";
import type { Nats } from "./nats.js";
import { serve, type Web } from "./web.js";

export interface Dashboard {
  readonly web: Web;
  close(): void;
}

/** Builds and serves the page. */
export async function dashboard(): Promise<Dashboard> {
  const folder = join(JS, "node_modules", ".cache", `dashboard-${process.pid}`);
  execFileSync(process.execPath, [join(JS, "dashboard/build.mjs"), folder], { stdio: "inherit" });
  const web = await serve(folder);
  return { web, close: web.close };
}

/** Starts the example service on a server. */
export function service(nats: Nats, bucket: string): ChildProcess {
  const program = process.env["SHIZUKU_SERVICE"];
  if (program === undefined) throw new Error("run these tests with `cargo xtask test js`");
  return spawn(program, [nats.nats, bucket], { stdio: "ignore" });
}

/** Opens the page, and waits until it is connected. */
export async function look(
  browser: Browser,
  { web }: Dashboard,
  nats: Nats,
  bucket: string,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  await page.goto(`${web.url}/?${new URLSearchParams({ server: nats.ws, bucket }).toString()}`);
  await page.locator(".status.connected").waitFor();
  return page;
}
