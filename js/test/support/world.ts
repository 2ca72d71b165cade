/** What most tests need: a browser, the package served to it, and the server that all tests share. */
import { after, before } from "node:test";
import type { Browser } from "playwright-core";
import { JS, launch, open } from "./browser.js";
import { type Nats, shared } from "./nats.js";
import { serve, type Web } from "./web.js";

export interface World {
  readonly browser: Browser;
  readonly web: Web;
  readonly nats: Nats;
  /** A blank page that has the package as `window.shizuku`. */
  open(): ReturnType<typeof open>;
}

/** Makes it before the first test of a file, and ends it after the last one. */
export function world(): World {
  const starting = Promise.all([launch(), serve(JS), shared()]);
  let all: readonly [Browser, Web, Nats] | undefined;
  const there = (): readonly [Browser, Web, Nats] => {
    if (all === undefined) throw new Error("not before the first test");
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
    // One hook of a file does not wait for another, and may want a page too.
    open: async () => {
      const [browser, web] = await starting;
      return open(browser, web.url);
    },
  };
}
