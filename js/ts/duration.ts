/**
 * Durations with units.
 *
 * @module
 */
import { invalid } from "./given.js";

/** Milliseconds, or a number with its unit: `"500ms"`, `"5s"`, `"10m"`, `"2h"`, `"7d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A duration in milliseconds; `undefined` is passed through. */
export function millis(option: string, time: Duration | undefined): number | undefined {
  if (time === undefined) return undefined;
  if (typeof time === "number" && time >= 0 && Number.isFinite(time)) return time;
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(time)) ?? [];
  const factor = UNITS[unit ?? ""];
  if (factor === undefined) throw invalid(option, time, 'a duration such as "5s"');
  return Number(number) * factor;
}
