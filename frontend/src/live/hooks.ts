import { useEffect, useState, useSyncExternalStore } from "react";
import type { Database, Overview } from "../api/types";
import { Stream, type State } from "./stream";

const stream = new Stream("/api/v1/stream");
const OVERVIEW_PERIOD_MS = 30_000;

export const useLive = (): State => useSyncExternalStore(stream.subscribe, stream.current);

export type DatabaseState = Database | "loading" | "away";

/** What PostgreSQL says, asked now and then: it is not part of the stream. */
export function useDatabase(): DatabaseState {
  const [database, setDatabase] = useState<DatabaseState>("loading");
  useEffect(() => {
    const abort = new AbortController();
    const load = async () => {
      try {
        const response = await fetch("/api/v1/overview", { signal: abort.signal });
        setDatabase(response.ok ? ((await response.json()) as Overview).database : "away");
      } catch {
        if (!abort.signal.aborted) setDatabase("away");
      }
    };
    void load();
    const timer = setInterval(() => void load(), OVERVIEW_PERIOD_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, []);
  return database;
}

/** Seconds since the epoch, so that "2 min ago" grows old. */
export function useNow(periodMs = 5000): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), periodMs);
    return () => clearInterval(timer);
  }, [periodMs]);
  return now;
}
