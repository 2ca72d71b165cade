/** NATS servers, from the harness's control server. */

/** A server. */
export interface Nats {
  readonly id: string;
  readonly nats: string;
  readonly ws: string;
  readonly version: string;
}

const control = process.env["SHIZUKU_CONTROL"];

async function ask(path: string, query: Record<string, string> = {}): Promise<Nats> {
  if (control === undefined) throw new Error("run these tests with `cargo xtask test js`");
  const response = await fetch(`${control}${path}?${new URLSearchParams(query).toString()}`);
  const answer = (await response.json()) as Nats & { error?: string };
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer;
}

/** The server that all tests share; their buckets have different names. */
export const shared = (): Promise<Nats> => ask("/shared");

/** Starts a server for one test. */
export const start = (settings: Record<string, string> = {}): Promise<Nats> =>
  ask("/start", settings);

/** Performs an action on a server from `start`. */
export const act = (
  what: "kill" | "stop" | "restart" | "pause" | "resume" | "healthy" | "remove",
  server: Nats,
): Promise<Nats> => ask(`/${what}`, { id: server.id });

/** The number of consumers on a server. */
export async function consumers(server: Nats): Promise<number> {
  const { consumers } = (await ask("/monitor", { id: server.id, path: "/jsz" })) as Nats & { consumers: number };
  return consumers;
}

/** The number of connections to a server. */
export async function connections(server: Nats): Promise<number> {
  const { connections } = (await ask("/monitor", { id: server.id, path: "/varz" })) as Nats & { connections: number };
  return connections;
}

let buckets = 0;

/** A unique bucket name. */
export function bucket(): string {
  buckets += 1;
  return `b_${process.pid}_${Date.now().toString(36)}_${buckets}`;
}
