/**
 * Functions of others that are called when something happens.
 *
 * @module
 */

/**
 * Calls functions. What one of them throws is its own affair: it is reported as an error that nobody
 * caught, as a browser does with listeners, and the others are called all the same.
 */
export function tell<A extends readonly unknown[]>(
  listeners: Iterable<(...news: A) => void>,
  ...news: A
): void {
  // One may add or remove others.
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
    // Node has none, and does this with listeners of its own events.
    queueMicrotask(() => {
      throw error;
    });
  }
}
