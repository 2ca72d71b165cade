/**
 * Calls to listeners and hooks.
 *
 * @module
 */

/**
 * Calls listeners. If one throws, the error is reported as uncaught, as browsers do for event listeners, and
 * the others are still called.
 */
export function tell<A extends readonly unknown[]>(
  listeners: Iterable<(...news: A) => void>,
  ...news: A
): void {
  // A copy: a listener may add or remove others.
  for (const listener of [...listeners]) {
    try {
      listener(...news);
    } catch (error) {
      report(error);
    }
  }
}

function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else {
    // Node has no `reportError`; an `EventTarget` of Node's does the same as this.
    queueMicrotask(() => {
      throw error;
    });
  }
}
