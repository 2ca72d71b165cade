/**
 * Hooks for React 18 and newer; a separate entry point.
 *
 * @module
 */
import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { ShizukuError } from "./errors.js";
import type { LiveStatus } from "./following.js";
import type { Live } from "./live.js";
import type { LiveMap } from "./live_map.js";

/** The source of {@link useLive}: a store or a typed view. */
export interface LiveSource<T> {
  live(key: string): Live<T>;
}

/** The source of {@link useLiveMap}: a store or a typed view. */
export interface LiveMapSource<T> {
  liveMap(filter: string): LiveMap<T>;
}

/** The result of {@link useLiveState}: {@link Live.value} with its state. */
export interface LiveState<T> {
  readonly value: T | undefined;
  readonly status: LiveStatus;
  readonly error: ShizukuError | undefined;
  readonly revision: number;
}

const LOADING = { value: undefined, status: "loading", error: undefined, revision: 0 } as const;
const EMPTY: ReadonlyMap<string, never> = new Map<string, never>();

/**
 * The live value of a key; `undefined` if there is none, or if it is not known yet. `source` may be `undefined`
 * while there is none, such as while the page connects.
 *
 * The subscription lasts as long as `source` and `key` stay the same. `store.typed(schema)` returns the same
 * view for the same schema, so define the schema outside the component. Components with the same source and
 * key share one watch.
 *
 * ```tsx
 * import type { TypedStore } from "shizuku-kv";
 * import { useLive } from "shizuku-kv/react";
 *
 * function Limit({ limits }: { limits: TypedStore<{ max: number }> | undefined }) {
 *   const current = useLive(limits, "app.limits");
 *   return <p>{current === undefined ? "no limit" : `at most ${current.max}`}</p>;
 * }
 * ```
 */
export function useLive<T>(source: LiveSource<T> | undefined, key: string): T | undefined {
  return useFollowing(source, key, (source) => source.live(key), ({ value }) => value, undefined);
}

/**
 * Like {@link useLive}, with the status, the latest error and the revision.
 *
 * ```tsx
 * import type { Store } from "shizuku-kv";
 * import { useLiveState } from "shizuku-kv/react";
 *
 * function Banner({ store }: { store: Store | undefined }) {
 *   const { value, status, error } = useLiveState(store, "app.banner");
 *   if (error !== undefined) return <p role="alert">{error.message}</p>;
 *   return <p aria-busy={status !== "current"}>{String(value ?? "")}</p>;
 * }
 * ```
 */
export function useLiveState<T>(source: LiveSource<T> | undefined, key: string): LiveState<T> {
  const read = ({ value, status, error, revision }: Live<T>): LiveState<T> => ({ value, status, error, revision });
  return useFollowing(source, key, (source) => source.live(key), read, LOADING);
}

/**
 * The live values of all keys that match a filter; empty until they are known. Returns the same map as long as
 * nothing has changed.
 *
 * ```tsx
 * import type { Store } from "shizuku-kv";
 * import { useLiveMap } from "shizuku-kv/react";
 *
 * function Flags({ store }: { store: Store | undefined }) {
 *   const flags = useLiveMap(store, "flag.>");
 *   return <ul>{[...flags].map(([key, value]) => <li key={key}>{`${key}: ${String(value)}`}</li>)}</ul>;
 * }
 * ```
 */
export function useLiveMap<T>(source: LiveMapSource<T> | undefined, filter: string): ReadonlyMap<string, T> {
  return useFollowing(source, filter, (source) => source.liveMap(filter), (map) => map.getSnapshot(), EMPTY);
}

/** The result of `read` for what `open` returns, which is reopened when `source` or `name` changes. */
function useFollowing<Source, L extends Live<unknown> | LiveMap<unknown>, S>(
  source: Source | undefined,
  name: string,
  open: (source: Source) => L,
  read: (live: L) => S,
  none: S,
): S {
  const holder = useMemo(() => ({ source, name, open, read, state: none }), [source, name]);
  const subscribe = useCallback(
    (listener: () => void) => {
      if (holder.source === undefined) return () => undefined;
      // Opened on subscribe and closed on unsubscribe, which React may do many times: it costs a watch.
      const live = holder.open(holder.source);
      const unsubscribe = live.subscribe(() => {
        holder.state = holder.read(live);
        listener();
      });
      return () => {
        unsubscribe();
        live.close();
      };
    },
    [holder],
  );
  const snapshot = useCallback(() => holder.state, [holder]);
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}
