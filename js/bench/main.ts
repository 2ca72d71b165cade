/**
 * The npm package against @nats-io/kv, in one page of one Chromium, in turns. Writes its cases,
 * which all begin with "npm ", into the report of `cargo xtask bench browser`.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { JS, launch } from "../test/support/browser.js";
import { start } from "../test/support/nats.js";
import { serve } from "../test/support/web.js";
import { type Browser } from "playwright-core";
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
const PREFIX = "npm ";

const median = (samples: number[]): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = NaN, high = NaN] = [sorted[middle - 1 + (sorted.length % 2)], sorted[middle]];
  return (low + high) / 2;
};

const report = (name: string, unit: string, better: "lower" | "higher", ours: number, peer: number): Case => {
  const ratio = better === "lower" ? peer / ours : ours / peer;
  console.log(
    `${(PREFIX + name).padEnd(24)} ${ours.toPrecision(4).padStart(9)} ${peer.toPrecision(4).padStart(9)} ${unit.padEnd(6)} ${ratio.toFixed(2)}x`,
  );
  return { case: PREFIX + name, ours, peer, unit, better, ratio };
};

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

/** One case, in turns and in either order; the first round warms up and does not count. */
async function measure(
  browser: Browser,
  page: string,
  name: string,
  url: string,
  bucket: string,
  count: number,
  rounds: number,
): Promise<Record<Side, number[]>> {
  const samples: Record<Side, number[]> = { ours: [], peer: [] };
  const tab = await browser.newPage();
  await tab.goto(page);
  await tab.addScriptTag({ url: "/node_modules/.cache/bench.js", type: "module" });
  await tab.waitForFunction(() => "bench" in window);
  for (let round = 0; round <= rounds; round += 1) {
    for (const side of round % 2 === 0 ? (["ours", "peer"] as const) : (["peer", "ours"] as const)) {
      const sample = await tab.evaluate(
        ([name, side, url, bucket, count]) => window.bench.cases[name]?.(side, url, bucket, count),
        [name, side, url, bucket, count] as const,
      );
      if (round > 0 && sample !== undefined) samples[side].push(sample);
    }
  }
  await tab.close();
  return samples;
}

await build({
  entryPoints: [join(JS, "bench/page.ts")],
  outfile: join(JS, "node_modules/.cache/bench.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  logLevel: "warning",
  // The package as it is published, under the name by which its own sources know each other.
  plugins: [
    {
      name: "published",
      setup: ({ onResolve }) => {
        onResolve({ filter: /ts\/index\.js$/ }, () => ({ path: join(JS, "dist/index.js") }));
      },
    },
  ],
});
const [browser, web] = await Promise.all([launch(), serve(JS)]);
const cases: Case[] = [];
try {
  const ours = await size(join(JS, "dist/index.js"));
  const peer = await size(join(JS, "bench/peer.ts"));
  cases.push(report("download", "kB", "lower", ours, peer));
  cases.push(report("download, core", "kB", "lower", await size(join(JS, "dist/core.js")), peer));
  for (const [compression, suffix] of [
    ["false", ""],
    ["true", " compressed"],
  ] as const) {
    const { ws } = await start({ compression });
    const tab = await browser.newPage();
    await tab.goto(web.url);
    await tab.addScriptTag({ url: "/node_modules/.cache/bench.js", type: "module" });
    await tab.waitForFunction(() => "bench" in window);
    await tab.evaluate(([url, keys]) => window.bench.fill(url, "bench", keys), [ws, KEYS] as const);
    await tab.close();
    const run = (name: string, count: number, rounds: number): Promise<Record<Side, number[]>> =>
      measure(browser, web.url, name, ws, "bench", count, rounds);
    if (suffix === "") {
      for (const [name, count] of [
        ["put", 500],
        ["get", 500],
        ["live update", 500],
      ] as const) {
        const samples = await run(name, count, ROUNDS);
        cases.push(report(name, "µs", "lower", median(samples.ours), median(samples.peer)));
      }
      const flight = await run("64 in flight", 5000, ROUNDS);
      cases.push(report("64 in flight", "ops/s", "higher", median(flight.ours), median(flight.peer)));
    }
    const load = await run("first load", KEYS, ROUNDS);
    cases.push(report(`first load${suffix}`, "s", "lower", median(load.ours), median(load.peer)));
  }
} finally {
  await browser.close();
  web.close();
}

const file = process.env["SHIZUKU_BENCH_REPORT"] ?? join(JS, "../target/bench/browser.json");
mkdirSync(dirname(file), { recursive: true });
const others = existsSync(file)
  ? (JSON.parse(readFileSync(file, "utf8")) as Case[]).filter((one) => !one.case.startsWith(PREFIX))
  : [];
writeFileSync(file, `${JSON.stringify([...others, ...cases], null, 2)}\n`);
