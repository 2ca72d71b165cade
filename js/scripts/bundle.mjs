// The esbuild settings of programs and pages that are not published.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Bundles programs for Node, with packages as imports. */
export function bundleForNode(options) {
  return build({
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
    ...options,
  });
}

/** Bundles a page with the built package instead of its sources. */
export function bundlePage(entry, outfile) {
  const published = ({ onResolve }) => {
    onResolve({ filter: /ts\/index\.js$/ }, () => ({ path: join(root, "dist/index.js") }));
  };
  return build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    plugins: [{ name: "published", setup: published }],
  });
}
