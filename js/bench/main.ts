/**
 * The Rust client and the npm package against @nats-io/kv, in one page of one Chromium, in turns.
 * Writes the report of `cargo xtask bench browser`. Arguments pick cases by how they begin.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { JS, launch } from "../test/support/browser.js";
import { act, start } from "../test/support/nats.js";
import { serve } from "../test/support/web.js";
import type { Browser, Page } from "playwright-core";
import type { Side } from "./page.js";

interface Case {
  readonly case: string;
  readonly ours: number;
  readonly peer: number;
  readonly unit: string;
  readonly better: "lower" | "higher";
  readonly ratio: number;
}

const KEYS = Number(process.env["SHIZUKU_BENCH_KEYS"] ?? 50_000);
const ROUNDS = Number(process.env["SHIZUKU_BENCH_ROUNDS"] ?? 7);
const picked = process.argv.slice(2);

const wanted = (name: string): boolean =>
  picked.length === 0 || picked.some((word) => name.startsWith(word));

const median = (samples: number[]): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = [sorted[middle - 1 + (sorted.length % 2)], sorted[middle]];
  return (low + high) / 2;
};

const cases: Case[] = [];

function report(
  name: string,
  unit: string,
  better: "lower" | "higher",
  ours: number,
  peer: number,
): void {
  const ratio = better === "lower" ? peer / ours : ours / peer;
  console.log(
    `${name.padEnd(28)} ${ours.toPrecision(4).padStart(9)} ${peer.toPrecision(4).padStart(9)} ${unit.padEnd(6)} ${ratio.toFixed(2)}x`,
  );
  cases.push({ case: name, ours, peer, unit, better, ratio });
}

async function size(entry: string): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "error",
  });
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length / 1000;
}

async function page(browser: Browser, url: string): Promise<Page> {
  const tab = await browser.newPage();
  await tab.goto(url);
  await tab.addScriptTag({ url: "/node_modules/.cache/bench.js", type: "module" });
  await tab.waitForFunction(() => "bench" in window);
  return tab;
}

/** A case on a server that has the keys. */
interface Measured {
  readonly name: string;
  readonly count: number;
  readonly url: string;
  readonly sides: readonly Side[];
}

/** Samples of every side, in turns and in changing order; the first round warms up and does not count. */
async function measure(
  browser: Browser,
  web: string,
  { name, count, url, sides }: Measured,
): Promise<(side: Side) => number> {
  const samples = new Map<Side, number[]>(sides.map((side) => [side, []]));
  const tab = await page(browser, web);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length];
      if (side === undefined) continue;
      const sample = await tab.evaluate(
        ([name, side, url, count]) => {
          // Or who comes next pays for what the one before left behind.
          (window as unknown as { gc(): void }).gc();
          return window.bench.run(name, side, url, "bench", count);
        },
        [name, side, url, count] as const,
      );
      if (round > 0) samples.get(side)?.push(sample);
    }
  }
  await tab.close();
  return (side) => median(samples.get(side) ?? []);
}

const [browser, web] = await Promise.all([launch(), serve(JS)]);
const clients = ["rust", "npm", "peer"] as const;
try {
  if (wanted("download")) {
    const peer = await size(join(JS, "bench/peer.ts"));
    report("npm download", "kB", "lower", await size(join(JS, "dist/index.js")), peer);
    report("npm download, core", "kB", "lower", await size(join(JS, "dist/core.js")), peer);
  }
  for (const [compression, suffix] of [
    ["false", ""],
    ["true", " compressed"],
  ] as const) {
    const server = await start({ compression });
    const url = server.ws;
    const tab = await page(browser, web.url);
    await tab.evaluate(([url, keys]) => window.bench.fill(url, "bench", keys), [url, KEYS] as const);
    await tab.close();
    const rates: readonly (readonly [string, number, string, "lower" | "higher"])[] = [
      ["put", 500, "µs", "lower"],
      ["get", 500, "µs", "lower"],
      ["live update", 500, "µs", "lower"],
      ["64 in flight", 5000, "ops/s", "higher"],
    ];
    for (const [name, count, unit, better] of suffix === "" ? rates : []) {
      if (!wanted(name)) continue;
      const of = await measure(browser, web.url, { name, count, url, sides: clients });
      for (const side of ["rust", "npm"] as const) {
        report(`${side} ${name}`, unit, better, of(side), of("peer"));
      }
    }
    if (wanted(`first load${suffix}`)) {
      const load = (name: string, sides: readonly Side[]): Promise<(side: Side) => number> =>
        measure(browser, web.url, { name, count: KEYS, url, sides });
      const rust = await load("first load", ["rust", "peer", "raw"]);
      report(`rust first load${suffix}`, "s", "lower", rust("rust"), rust("peer"));
      report(`rust raw limit${suffix}`, "s", "lower", rust("rust"), rust("raw"));
      const npm = await load("first load into a map", ["npm", "peer"]);
      report(`npm first load${suffix}`, "s", "lower", npm("npm"), npm("peer"));
    }
    await act("remove", server);
  }
} finally {
  await browser.close();
  web.close();
}

const file = process.env["SHIZUKU_BENCH_REPORT"] ?? join(JS, "../target/bench/browser.json");
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(cases, null, 2)}\n`);
