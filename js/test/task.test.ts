/** `cargo xtask dashboard`: the page it serves shows the writes of the service it starts. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { launch } from "./support/browser.js";

test("cargo xtask dashboard shows what its service writes", { timeout: 60_000 }, async (context) => {
  const program = process.env["SHIZUKU_XTASK"];
  if (program === undefined) throw new Error("run these tests with `cargo xtask test js`");
  // Its own process group, which Ctrl-C in a terminal would interrupt.
  const task = spawn(program, ["dashboard"], { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(task, "exit");
  const end = (): void => {
    if (task.pid !== undefined && task.exitCode === null && task.signalCode === null) process.kill(-task.pid, "SIGINT");
  };
  context.after(end);
  const browser = await launch();
  try {
    let address: string | undefined;
    for await (const line of createInterface(task.stdout)) {
      address = /^http:\/\/127\.0\.0\.1:\d+$/.exec(line)?.[0];
      if (address !== undefined) break;
    }
    assert.ok(address !== undefined, "it printed no address");
    const page = await browser.newPage();
    await page.goto(address);
    await page.locator(".status.connected").waitFor();
    await page.getByRole("button", { name: "app.limits", exact: true }).waitFor();
    await page.locator(".lock").first().waitFor();
    assert.equal((await fetch(`${address}/elsewhere`)).status, 404);
  } finally {
    await browser.close();
  }
  end();
  assert.deepEqual(await ended, [null, "SIGINT"]);
});
