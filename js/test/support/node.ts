/** The package in the test's own process. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Shizuku from "../../ts/index.js";
import { JS } from "./browser.js";

export async function connect(url: string): Promise<Shizuku.Client> {
  const built = pathToFileURL(join(JS, "dist/index.js")).href;
  const { connect } = (await import(built)) as typeof Shizuku;
  return connect(url);
}
