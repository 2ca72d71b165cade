/** A lock shared by native processes and tabs. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { bucket } from "./support/nats.js";
import { world } from "./support/world.js";

const here = world();

interface Native {
  readonly process: ChildProcess;
  /** Resolves to the printed lines; rejects if it failed. */
  readonly output: Promise<string[]>;
}

/** A native process that takes turns at a lock. */
function native(bucket: string, lock: string, turns: number, name: string): Native {
  const program = process.env["SHIZUKU_LOCK_TURNS"];
  if (program === undefined) throw new Error("run these tests with `cargo xtask test js`");
  const child = spawn(program, [here.nats.nats, bucket, lock, String(turns), name], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = (async () => {
    let text = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (more: string) => (text += more));
    const [code] = (await once(child, "close")) as [number | null];
    assert.equal(code, 0, `${name} failed`);
    return text.split("\n").filter((line) => line !== "");
  })();
  return { process: child, output };
}

/** The same as `lock_turns.rs`, in a page. */
async function turns([url, name, lock, turns, me]: readonly [
  string,
  string,
  string,
  number,
  string,
]): Promise<number> {
  const client = await window.shizuku.connect(url);
  const store = await client.open(name);
  const shared = store.lock(lock, { label: me });
  for (let turn = 0; turn < turns; turn += 1) {
    const mode = turn % 3 === 2 ? "read" : "write";
    const guard = await shared[mode]();
    await store.put(`log.${me}.${turn}.in`, `in ${mode} ${guard.token}`);
    if (mode === "write") {
      const count = await store.get("count");
      await store.put("count", String(Number(count?.string()) + 1));
    }
    await store.put(`log.${me}.${turn}.out`, `out ${mode} ${guard.token}`);
    await guard.release();
  }
  await client.close();
  return turns;
}

/** A waiter in the queue. */
interface Waiting {
  readonly who: string | undefined;
  readonly token: number | undefined;
}

/** Acquires the lock. `openGate()` then waits until `many` are in the queue, releases it, and returns the queue. */
async function shutGate([url, name, lock, many]: readonly [
  string,
  string,
  string,
  number,
]): Promise<void> {
  const client = await window.shizuku.connect(url);
  const shared = (await client.open(name)).lock(lock, { label: "gate" });
  const guard = await shared.write();
  const openGate = async (): Promise<Waiting[]> => {
    let queue: Waiting[] = [];
    for await (const holders of shared.watchHolders()) {
      const waiting = holders.filter(({ holds }) => !holds);
      queue = waiting.map(({ label, token }) => ({ who: label, token }));
      if (queue.length === many) break;
    }
    await guard.release();
    await client.close();
    return queue;
  };
  Object.assign(window, { openGate });
}

const openGate = (): Promise<Waiting[]> =>
  (window as unknown as { openGate: typeof openGate }).openGate();

interface Note {
  readonly who: string;
  readonly text: string;
  readonly revision: number;
}

/** The notes in stream order. */
const inOrder = (notes: readonly Note[]): Note[] =>
  [...notes].sort((a, b) => a.revision - b.revision);

/** Checks mutual exclusion and tokens in a history. */
function check(notes: readonly Note[]): void {
  const inside = new Map<string, "read" | "write">();
  let written = 0;
  let entered = 0;
  for (const { who, text } of inOrder(notes)) {
    const [direction, mode, number] = text.split(" ") as ["in" | "out", "read" | "write", string];
    const token = Number(number);
    if (direction === "out") {
      assert.equal(inside.get(who), mode, `${who} leaves, but was not inside`);
      inside.delete(who);
      continue;
    }
    const others = [...inside.values()];
    assert.ok(mode === "write" ? others.length === 0 : !others.includes("write"), `${who}: ${text} among ${others}`);
    assert.ok(token > (mode === "write" ? entered : written), `${who}: token ${token} is not news`);
    inside.set(who, mode);
    if (mode === "write") written = token;
    entered = Math.max(entered, token);
  }
  assert.equal(inside.size, 0);
}

/**
 * Checks that everybody in the queue got in once, in queue order and with their tokens, before anybody got in
 * again.
 */
function checkTurns(notes: readonly Note[], queue: readonly Waiting[]): void {
  const entries = inOrder(notes).filter(({ text }) => text.startsWith("in "));
  const first = entries.slice(0, queue.length).map(({ who, text }) => ({ who, token: Number(text.split(" ")[2]) }));
  assert.deepEqual(first, queue);
}

// With a time-out, as a participant that never queues would be waited for forever.
test("native processes and tabs take turns", { timeout: 120_000 }, async () => {
  const name = bucket();
  const lock = "shared.books";
  const [page, other] = await Promise.all([here.open(), here.open()]);
  await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      await (await client.create(name)).put("count", "0");
      await client.close();
    },
    [here.nats.ws, name] as const,
  );
  const rounds = 4;
  const each = 10;
  const everybody = ["native1", "native2", "tab1", "tab2"];
  // How fast everybody starts and works depends on the machine. To guarantee contention, nobody gets in before
  // all are in the queue; from then on the order is deterministic: writers are first in, first out.
  const queues: Waiting[][] = [];
  for (let round = 0; round < rounds; round += 1) {
    const called = (who: string): string => `${who}-${round}`;
    await page.evaluate(shutGate, [here.nats.ws, name, lock, everybody.length] as const);
    const [queue] = await Promise.all([
      page.evaluate(openGate),
      native(name, lock, each, called("native1")).output,
      native(name, lock, each, called("native2")).output,
      page.evaluate(turns, [here.nats.ws, name, lock, each, called("tab1")] as const),
      other.evaluate(turns, [here.nats.ws, name, lock, each, called("tab2")] as const),
    ]);
    assert.deepEqual(queue.map(({ who }) => who).sort(), everybody.map(called));
    queues.push(queue);
  }
  const { count, notes } = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.open(name);
      const count = (await store.get("count"))?.string();
      const notes = (await store.getMany("log.>")).map((entry) => ({
        who: entry.key.split(".")[1] ?? "",
        text: entry.string(),
        revision: entry.revision,
      }));
      await store.destroy();
      await client.close();
      return { count, notes };
    },
    [here.nats.ws, name] as const,
  );
  assert.equal(notes.length, rounds * everybody.length * each * 2);
  const writes = Array.from({ length: each }, (_, turn) => turn).filter((turn) => turn % 3 !== 2).length;
  assert.equal(count, String(rounds * everybody.length * writes), "counts were lost");
  check(notes);
  for (const [round, queue] of queues.entries()) {
    checkTurns(notes.filter(({ who }) => who.endsWith(`-${round}`)), queue);
  }
  assert.deepEqual([...page.faults, ...other.faults], []);
  await Promise.all([page.context().close(), other.context().close()]);
});

test("the checks find overlapping holds, stale tokens and overtaking", () => {
  const note = (who: string, text: string, revision: number): Note => ({ who, text, revision });
  const apart = [note("a", "in write 1", 1), note("a", "out write 1", 3), note("b", "in write 2", 4), note("b", "out write 2", 5)];
  check(apart);
  assert.throws(() => check([...apart, note("c", "in read 3", 2), note("c", "out read 3", 6)]), /among/);
  assert.throws(() => check([...apart, note("c", "in read 1", 6), note("c", "out read 1", 7)]), /not news/);
  const [a, b] = [{ who: "a", token: 1 }, { who: "b", token: 2 }];
  checkTurns(apart, [a, b]);
  assert.throws(() => checkTurns(apart, [b, a]));
  const again = [note("a", "in write 3", 6), note("a", "out write 3", 7), note("b", "in write 4", 8), note("b", "out write 4", 9)];
  const late = [...apart.slice(0, 2), ...again];
  check(late);
  assert.throws(() => checkTurns(late, [a, { who: "b", token: 4 }]));
});

test("a native process gets the lock of a killed tab", async () => {
  const name = bucket();
  const page = await here.open();
  const held = await page.evaluate(
    async ([url, name]) => {
      const client = await window.shizuku.connect(url);
      const store = await client.create(name);
      await store.put("count", "0");
      const guard = await store.lock("job", { lease: "3s", label: "tab" }).write();
      const queued = async (): Promise<void> => {
        for await (const holders of store.lock("job").watchHolders()) if (holders.length === 2) return;
      };
      Object.assign(window, { guard, client, queued });
      return guard.token;
    },
    [here.nats.ws, name] as const,
  );
  const waiting = native(name, "job", 1, "native");
  // It must be in the queue before the tab dies.
  await page.evaluate(() => (window as unknown as { queued: () => Promise<void> }).queued());
  const start = Date.now();
  // Crashes the renderer process, so that nothing is released.
  await page.goto("chrome://crash").catch(() => undefined);
  const [token] = await waiting.output;
  const waited = Date.now() - start;
  assert.ok(Number(token) > held, `${token} after ${held}`);
  // A lease and two seconds.
  assert.ok(waited < 5000, `waited for ${waited} ms`);
  assert.ok(waited > 500, `after ${waited} ms the lease cannot have run out: the tab released`);
});
