import type { Changes, Snapshot } from "../api/types";
import { apply, fromSnapshot, type Model } from "./model";

export type Connection = "connecting" | "live" | "lost";

export interface State {
  connection: Connection;
  model: Model | undefined;
}

/** How soon to try again where the browser has given up, e.g. after a 503. */
const RETRY_MS = 1000;

/** Follows the backend's event stream for as long as somebody listens. */
export class Stream {
  private state: State = { connection: "connecting", model: undefined };
  private readonly listeners = new Set<() => void>();
  private source: EventSource | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly url: string) {}

  readonly current = (): State => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.listeners.size === 1) this.open();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.close();
    };
  };

  private open(): void {
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("snapshot", (event) => {
      const snapshot = JSON.parse(event.data as string) as Snapshot;
      this.set({ connection: "live", model: fromSnapshot(snapshot, Date.now() / 1000, this.state.model) });
    });
    source.addEventListener("changes", (event) => {
      const changes = JSON.parse(event.data as string) as Changes;
      if (this.state.model) this.set({ connection: "live", model: apply(this.state.model, changes, Date.now() / 1000) });
    });
    source.addEventListener("error", () => {
      this.set({ ...this.state, connection: this.state.model ? "lost" : "connecting" });
      // The browser reconnects by itself after a break, but not after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) this.retry = setTimeout(() => this.open(), RETRY_MS);
    });
  }

  private close(): void {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = undefined;
  }

  private set(state: State): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}
