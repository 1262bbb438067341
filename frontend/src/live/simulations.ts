import { useCallback, useEffect, useRef, useState } from "react";
import type { NewSimulation, Simulation, SimulationDetail } from "../api/types";

const URL_OF_ALL = "/api/v1/simulations";
const urlOf = (id: string) => `${URL_OF_ALL}/${encodeURIComponent(id)}`;
const PERIOD_MS = 10_000;
/** While something waits or runs. */
const PERIOD_ACTIVE_MS = 1000;

export const isActive = (simulation: Simulation): boolean => simulation.state === "queued" || simulation.state === "running";

export type Loaded<T> = T | "loading" | "away" | "gone";

interface Polled<T> {
  value: Loaded<T>;
  refresh: () => void;
}

/** Asks now and then, sooner while `active` says that more is to come; the last answer stays while the backend is away. */
function usePolled<T>(url: string, active: (value: T) => boolean): Polled<T> {
  const [value, setValue] = useState<Loaded<T>>("loading");
  const [round, setRound] = useState(0);
  const isMore = useRef(active);
  isMore.current = active;
  useEffect(() => setValue("loading"), [url]);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      let pause = PERIOD_MS;
      try {
        const response = await fetch(url, { signal: abort.signal });
        if (response.ok) {
          const loaded = (await response.json()) as T;
          setValue(loaded);
          if (isMore.current(loaded)) pause = PERIOD_ACTIVE_MS;
        } else if (response.status === 404) {
          setValue("gone");
        } else {
          setValue((before) => (typeof before === "string" ? "away" : before));
        }
      } catch {
        if (abort.signal.aborted) return;
        setValue((before) => (typeof before === "string" ? "away" : before));
      }
      timer = setTimeout(() => void load(), pause);
    };
    void load();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [url, round]);
  return { value, refresh: useCallback(() => setRound((before) => before + 1), []) };
}

const anyActive = (all: Simulation[]) => all.some(isActive);
const oneActive = (one: SimulationDetail) => isActive(one.simulation);

export const useSimulations = (): Polled<Simulation[]> => usePolled(URL_OF_ALL, anyActive);
export const useSimulation = (id: string): Polled<SimulationDetail> => usePolled(urlOf(id), oneActive);

/** What the backend said no with; `needsToken` where it asks for one. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly needsToken: boolean,
  ) {
    super(message);
  }
}

async function change<T>(method: "POST" | "DELETE", url: string, token: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
  if (token !== "") headers.authorization = `Bearer ${token}`;
  const response = await fetch(url, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
  throw new Refused([problem.title, problem.detail].filter(Boolean).join(": ") || `HTTP ${response.status}`, response.status === 401);
}

export const start = (simulation: NewSimulation, token: string): Promise<Simulation> => change("POST", URL_OF_ALL, token, simulation);
export const cancel = (id: string, token: string): Promise<Simulation> => change("DELETE", urlOf(id), token);
