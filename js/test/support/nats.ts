/** nats-servers, from the harness's control server. */

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

/** The server that all tests share; they keep apart by the names of their buckets. */
export const shared = (): Promise<Nats> => ask("/shared");

/** A server of one's own. */
export const start = (settings: Record<string, string> = {}): Promise<Nats> =>
  ask("/start", settings);

/** Does something to a server of one's own. */
export const act = (
  what: "kill" | "stop" | "restart" | "pause" | "resume" | "healthy" | "remove",
  server: Nats,
): Promise<Nats> => ask(`/${what}`, { id: server.id });

/** How many consumers a server has. */
export async function consumers(server: Nats): Promise<number> {
  const { consumers } = (await ask("/monitor", { id: server.id, path: "/jsz" })) as Nats & { consumers: number };
  return consumers;
}

/** How many connections a server has. */
export async function connections(server: Nats): Promise<number> {
  const { connections } = (await ask("/monitor", { id: server.id, path: "/varz" })) as Nats & { connections: number };
  return connections;
}

let buckets = 0;

/** A name that no other test has. */
export function bucket(): string {
  buckets += 1;
  return `b_${process.pid}_${Date.now().toString(36)}_${buckets}`;
}
