/**
 * The latency graph.
 *
 * @module
 */
import type { Store } from "../../ts/index.js";
import { h, svg } from "./dom.js";

const SAMPLES = 40;
const [WIDTH, HEIGHT] = [120, 28];

export class Latency {
  readonly element: HTMLElement;
  readonly #store: Store;
  readonly #line = svg("polyline", { class: "line", fill: "none", points: "" });
  readonly #area = svg("polygon", { class: "area", points: "" });
  readonly #dot = svg("circle", { class: "dot", r: 2.5, cx: -9, cy: 0 });
  readonly #label = h("span", { class: "ms", text: "–" });
  readonly #samples: number[] = [];

  constructor(store: Store) {
    this.#store = store;
    const drawing = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
      this.#area,
      this.#line,
      this.#dot,
    );
    this.element = h("div", { class: "latency", title: "Round trip of a read" }, drawing, this.#label);
  }

  /** Starts measuring, twice a second. */
  start(): void {
    const measure = async (): Promise<void> => {
      const start = performance.now();
      const isThere = await this.#store.get("latency-probe").then(
        () => true,
        () => false,
      );
      if (isThere) this.#add(performance.now() - start);
      setTimeout(() => void measure(), 500);
    };
    void measure();
  }

  #add(sample: number): void {
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    const top = Math.max(4, ...this.#samples) * 1.15;
    const points = this.#samples.map((one, at) => {
      const x = WIDTH - 4 - (this.#samples.length - 1 - at) * ((WIDTH - 8) / (SAMPLES - 1));
      const y = HEIGHT - 3 - (one / top) * (HEIGHT - 6);
      return [x.toFixed(1), y.toFixed(1)] as const;
    });
    const line = points.map((point) => point.join(",")).join(" ");
    const [first, last] = [points[0], points.at(-1)];
    this.#line.setAttribute("points", line);
    this.#area.setAttribute("points", `${first?.[0] ?? 0},${HEIGHT} ${line} ${last?.[0] ?? 0},${HEIGHT}`);
    this.#dot.setAttribute("cx", last?.[0] ?? "0");
    this.#dot.setAttribute("cy", last?.[1] ?? "0");
    this.#label.textContent = `${sample < 10 ? sample.toFixed(1) : sample.toFixed(0)} ms`;
  }
}
