import { useState, type FormEvent, type ReactNode } from "react";
import { useTranslate } from "../i18n";
import { durations, initial, loads, simulation, type Duration, type Form, type LoadKind } from "../live/scenario";
import { Refused, start } from "../live/simulations";
import { Panel } from "./Panel";

/** What the backend takes of a trace. */
const TRACE_BYTES = 900 * 1024;

interface Properties {
  token: string;
  setToken: (token: string) => void;
  problem: Refused | undefined;
  setProblem: (problem: Refused | undefined) => void;
  started: () => void;
}

export function SimulationForm({ token, setToken, problem, setProblem, started }: Properties) {
  const t = useTranslate();
  const [form, setForm] = useState<Form>(initial);
  const [busy, setBusy] = useState(false);
  const set = (change: Partial<Form>) => setForm((before) => ({ ...before, ...change }));
  const isTrace = form.load === "trace";

  const read = async (file: File | undefined) => {
    if (file === undefined) return set({ trace: undefined });
    if (file.size > TRACE_BYTES) return setProblem(new Refused(t("sim.trace.large"), false));
    setProblem(undefined);
    set({ trace: { name: file.name, text: await file.text() } });
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (isTrace && form.trace === undefined) return setProblem(new Refused(t("sim.trace.missing"), false));
    setBusy(true);
    try {
      await start(simulation({ ...form, title: form.title || t(`sim.load.${form.load}`) }), token);
      setProblem(undefined);
      started();
    } catch (error) {
      setProblem(error instanceof Refused ? error : new Refused(String(error), false));
    } finally {
      setBusy(false);
    }
  };

  return (
    <Panel name="new-simulation" title={t("sim.new")}>
      <form className="form" onSubmit={(event) => void submit(event)}>
        <p className="faint whole">{t("sim.intro")}</p>
        <Field label={t("sim.name")}>
          <input type="text" maxLength={120} value={form.title} placeholder={t(`sim.load.${form.load}`)} onChange={(event) => set({ title: event.target.value })} />
        </Field>
        <Field label={t("sim.load")}>
          <select value={form.load} onChange={(event) => set({ load: event.target.value as LoadKind, duration: event.target.value === "trace" ? undefined : (form.duration ?? "1d") })}>
            {loads.map((kind) => (
              <option key={kind} value={kind}>
                {t(`sim.load.${kind}`)}
              </option>
            ))}
          </select>
        </Field>
        {isTrace ? (
          <>
            <Field label={t("sim.file")}>
              <input type="file" accept=".csv,.json,text/csv,application/json" onChange={(event) => void read(event.target.files?.[0])} />
            </Field>
            <Field label={t("sim.peak")}>
              <input type="number" min={1} max={50_000} value={form.peak ?? ""} onChange={(event) => set({ peak: event.target.value === "" ? undefined : event.target.valueAsNumber })} />
            </Field>
          </>
        ) : (
          <>
            {form.load !== "constant" && <Rate label={t("sim.low")} value={form.low} change={(low) => set({ low })} />}
            <Rate label={t("sim.high")} value={form.high} change={(high) => set({ high })} />
          </>
        )}
        <Field label={t("sim.duration")}>
          <select value={form.duration ?? ""} onChange={(event) => set({ duration: (event.target.value || undefined) as Duration | undefined })}>
            {isTrace && <option value="">{t("sim.duration.trace")}</option>}
            {durations.map((duration) => (
              <option key={duration}>{duration}</option>
            ))}
          </select>
        </Field>
        <Field label={t("sim.p99")}>
          <input type="number" min={1} max={60_000} required value={form.p99Ms} onChange={(event) => set({ p99Ms: event.target.valueAsNumber })} />
        </Field>
        <Field label={t("sim.seeds")}>
          <input type="number" min={1} max={50} required value={form.seeds} onChange={(event) => set({ seeds: event.target.valueAsNumber })} />
        </Field>
        {problem?.needsToken && (
          <Field label={t("sim.token")}>
            <input type="password" autoComplete="off" value={token} onChange={(event) => setToken(event.target.value)} />
          </Field>
        )}
        <button type="submit" disabled={busy}>
          {t("sim.start")}
        </button>
        {problem && (
          <p className="bad whole" role="alert">
            {problem.needsToken ? t("sim.tokenNeeded") : problem.message}
          </p>
        )}
      </form>
    </Panel>
  );
}

function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    <label className="field">
      <span>{label}</span>
      {children}
    </label>
  );
}

function Rate({ label, value, change }: { label: string; value: number; change: (value: number) => void }) {
  return (
    <Field label={label}>
      <input type="number" min={0} max={50_000} step="any" required value={Number.isNaN(value) ? "" : value} onChange={(event) => change(event.target.valueAsNumber)} />
    </Field>
  );
}
