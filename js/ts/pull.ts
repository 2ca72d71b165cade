/**
 * An async iterable over a pull function.
 *
 * @module
 */

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * Calls `pull` until it returns `undefined`. Unlike a generator's, its `return` does not wait for a pending
 * `next`, but ends it.
 */
export class Pull<E> implements AsyncIterableIterator<E, undefined> {
  readonly #pull: () => Promise<E | undefined>;
  readonly #stop: () => void;
  #turn: Promise<unknown> = Promise.resolve();
  #isOver = false;

  /** `stop` makes a pending `pull` resolve to `undefined`. */
  constructor(pull: () => Promise<E | undefined>, stop: () => void) {
    this.#pull = pull;
    this.#stop = stop;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<E, undefined>> {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    this.#end();
    return Promise.resolve(DONE);
  }

  async #next(): Promise<IteratorResult<E, undefined>> {
    try {
      const value = this.#isOver ? undefined : await this.#pull();
      if (value !== undefined && !this.#isOver) return { done: false, value };
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#end();
    return DONE;
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stop();
  }
}
