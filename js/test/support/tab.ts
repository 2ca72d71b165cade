/**
 * A tab that can be frozen. Playwright keeps its pages visible and focused, and a visible page does not freeze;
 * so this one is not managed by Playwright.
 *
 * @module
 */
import type { Browser } from "playwright-core";

/** A tab, controlled over the DevTools protocol. */
export interface Tab {
  /** Runs a function in the tab; its argument and result are JSON. */
  evaluate<A, R>(work: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly error?: { readonly message: string };
  readonly result?: unknown;
}

interface Evaluated {
  readonly result: { readonly value: unknown };
  readonly exceptionDetails?: { readonly exception?: { readonly description?: string } };
}

/** Opens a URL in a new tab. */
export async function openTab(browser: Browser, url: string): Promise<Tab> {
  const root = await browser.newBrowserCDPSession();
  const { browserContextId } = await root.send("Target.createBrowserContext");
  const { targetId } = await root.send("Target.createTarget", {
    url: "about:blank",
    browserContextId,
  });
  const { sessionId } = await root.send("Target.attachToTarget", { targetId, flatten: false });
  const waiting = new Map<number, (answer: Answer) => void>();
  let calls = 0;
  let onLoad = (): void => undefined;
  root.on("Target.receivedMessageFromTarget", ({ message }) => {
    const answer = JSON.parse(message) as Answer;
    if (answer.method === "Page.loadEventFired") onLoad();
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer);
  });
  const send = async (method: string, params: object): Promise<unknown> => {
    calls += 1;
    const id = calls;
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve));
    const message = JSON.stringify({ id, method, params });
    await root.send("Target.sendMessageToTarget", { sessionId, message });
    const { error, result } = await answered;
    waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  const become = async (state: "frozen" | "active"): Promise<void> => {
    await send("Page.setWebLifecycleState", { state });
  };
  await send("Page.enable", {});
  const loaded = new Promise<void>((resolve) => (onLoad = resolve));
  await send("Page.navigate", { url });
  await loaded;
  return {
    async evaluate<A, R>(work: (argument: A) => R | Promise<R>, argument: A): Promise<R> {
      const expression = `(${work.toString()})(${JSON.stringify(argument)})`;
      const { result, exceptionDetails } = (await send("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      })) as Evaluated;
      if (exceptionDetails !== undefined) {
        throw new Error(exceptionDetails.exception?.description ?? "it threw");
      }
      return result.value as R;
    },
    freeze: () => become("frozen"),
    thaw: () => become("active"),
  };
}
