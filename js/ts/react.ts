/**
 * The hook for React 18 and newer; an entry point of its own.
 *
 * @module
 */
import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { Live } from "./live.js";

/** What {@link useLive} follows: a store or a typed view. */
export interface LiveSource<T> {
  live(key: string): Live<T>;
}

/**
 * The value of a key, always current; `undefined` where there is none, and until it is known.
 *
 * It goes on as long as `source` and `key` are the same. `store.typed(schema)` is, for the same schema:
 * make that outside of the component. Components with the same source and key share one watch.
 *
 * ```tsx
 * import type { TypedStore } from "shizuku-kv";
 * import { useLive } from "shizuku-kv/react";
 *
 * function Limit({ limits }: { limits: TypedStore<{ max: number }> }) {
 *   const current = useLive(limits, "app.limits");
 *   return <p>{current === undefined ? "no limit" : `at most ${current.max}`}</p>;
 * }
 * ```
 */
export function useLive<T>(source: LiveSource<T>, key: string): T | undefined {
  const holder = useMemo<{ live: Live<T> | undefined; readonly from: LiveSource<T>; readonly key: string }>(
    () => ({ live: undefined, from: source, key }),
    [source, key],
  );
  const subscribe = useCallback(
    (listener: () => void) => {
      // React may subscribe and unsubscribe many times, and following costs a watch.
      const live = holder.from.live(holder.key);
      holder.live = live;
      const unsubscribe = live.subscribe(listener);
      return () => {
        unsubscribe();
        live.close();
      };
    },
    [holder],
  );
  const read = useCallback(() => holder.live?.value, [holder]);
  return useSyncExternalStore(subscribe, read, read);
}
