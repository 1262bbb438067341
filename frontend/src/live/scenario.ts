import type { NewSimulation } from "../api/types";

export const loads = ["diurnal", "spike", "flashCrowd", "constant", "trace"] as const;
export type LoadKind = (typeof loads)[number];
export const durations = ["1h", "6h", "1d", "7d", "30d"] as const;
export type Duration = (typeof durations)[number];

/** What the form holds. */
export interface Form {
  title: string;
  load: LoadKind;
  low: number;
  high: number;
  /** Of a trace; nothing leaves it as it is. */
  peak: number | undefined;
  trace: { name: string; text: string } | undefined;
  /** Nothing: as long as the trace. */
  duration: Duration | undefined;
  p99Ms: number;
  seeds: number;
}

export const initial: Form = { title: "", load: "diurnal", low: 20, high: 200, peak: undefined, trace: undefined, duration: "1d", p99Ms: 300, seeds: 10 };

const hours: Record<Duration, number> = { "1h": 1, "6h": 6, "1d": 24, "7d": 168, "30d": 720 };

/** As `marea simulate --scenario` reads it. */
export function simulation(form: Form): NewSimulation {
  const { low, high } = form;
  const minutes = hours[form.duration ?? "1d"] * 60;
  // Something happens after a quarter of the time, and half of it is over when it is.
  const at = `${Math.round(minutes / 4)}m`;
  const shapes = {
    diurnal: { diurnal: { low, high } },
    spike: { spike: { low, high, at, for: at } },
    flashCrowd: { flashCrowd: { low, high, at } },
    constant: { constant: high },
  };
  const load = form.load === "trace" ? { trace: form.trace?.name ?? "trace.csv", ...(form.peak !== undefined && { peak: form.peak }) } : { shape: shapes[form.load] };
  const scenario = { ...(form.duration !== undefined && { duration: form.duration }), load, objective: { p99: `${form.p99Ms}ms`, errors: "0.1%" } };
  return { title: form.title.trim(), scenario, seeds: form.seeds, ...(form.load === "trace" && form.trace && { trace: form.trace.text }) };
}
