/** The common fixture: a browser, a web server for the package, and the shared NATS server. */
import { after, before } from "node:test";
import type { Browser } from "playwright-core";
import { JS, launch, open } from "./browser.js";
import { type Nats, shared } from "./nats.js";
import { serve, type Web } from "./web.js";

export interface World {
  readonly browser: Browser;
  readonly web: Web;
  readonly nats: Nats;
  /** Opens a blank page with the package as `window.shizuku`. */
  open(): ReturnType<typeof open>;
}

/** Sets it up before the first test of a file, and tears it down after the last one. */
export function world(): World {
  const starting = Promise.all([launch(), serve(JS), shared()]);
  let all: readonly [Browser, Web, Nats] | undefined;
  const there = (): readonly [Browser, Web, Nats] => {
    if (all === undefined) throw new Error("not available before the first test");
    return all;
  };
  before(async () => {
    all = await starting;
  });
  after(async () => {
    const [browser, web] = await starting;
    await browser.close();
    web.close();
  });
  return {
    get browser() {
      return there()[0];
    },
    get web() {
      return there()[1];
    },
    get nats() {
      return there()[2];
    },
    // Hooks of a file run concurrently, and another one may need a page too.
    open: async () => {
      const [browser, web] = await starting;
      return open(browser, web.url);
    },
  };
}
