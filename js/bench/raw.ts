/**
 * How fast it could be: a WebSocket that asks for all keys as a watch does, and looks at nothing but
 * how many bytes come.
 *
 * @module
 */

/** How many bytes make a bucket of so many keys, once it was counted. */
const sizes = new Map<string, number>();

/** What an answer's length may vary by. */
const SLACK = 1000;

/** Seconds from the request to the last byte. */
export async function rawLoad(url: string, bucket: string, count: number): Promise<number> {
  const key = `${url} ${bucket} ${count}`;
  let size = sizes.get(key);
  if (size === undefined) {
    size = await new Promise<number>((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout>;
      load(url, bucket, reject, (bytes) => {
        clearTimeout(timer);
        // Nothing comes any more.
        timer = setTimeout(() => {
          resolve(bytes);
        }, 1000);
        return false;
      });
    });
    sizes.set(key, size);
  }
  const all = size - SLACK;
  return new Promise((resolve, reject) => {
    load(url, bucket, reject, (bytes, seconds) => {
      if (bytes < all) return false;
      resolve(seconds);
      return true;
    });
  });
}

/** Loads; `onBytes` hears how many bytes came so far and how long it took, and says when to end. */
function load(
  url: string,
  bucket: string,
  onError: (reason: unknown) => void,
  onBytes: (bytes: number, seconds: number) => boolean,
): void {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onerror = () => {
    onError(new Error("the WebSocket failed"));
  };
  socket.onopen = () => {
    socket.send(
      'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nPING\r\n',
    );
  };
  const text = new TextDecoder();
  const config = {
    deliver_subject: `raw.${Math.random()}`,
    deliver_policy: "last_per_subject",
    ack_policy: "none",
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 60e9,
    filter_subject: `$KV.${bucket}.key.>`,
  };
  const body = JSON.stringify({ stream_name: `KV_${bucket}`, config, action: "create" });
  let [bytes, start] = [0, 0];
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
    if (start === 0) {
      if (!text.decode(data).includes("PONG")) return;
      start = performance.now();
      const create = `$JS.API.CONSUMER.CREATE.KV_${bucket}`;
      socket.send(
        `SUB ${config.deliver_subject} 1\r\nPUB ${create} x ${body.length}\r\n${body}\r\n`,
      );
      return;
    }
    bytes += data.byteLength;
    if (onBytes(bytes, (performance.now() - start) / 1000)) socket.close();
  };
}
