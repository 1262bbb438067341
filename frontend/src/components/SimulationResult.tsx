import { useMemo, type ReactNode } from "react";
import type { SimulationDetail, SimulationResult as Result } from "../api/types";
import { ago, dollars, sinceStart } from "../format";
import { useTranslate } from "../i18n";
import { stateOf } from "../views/Simulations";
import { Chart, type Line } from "./Chart";
import { Panel } from "./Panel";

/** As `marea simulate --json` has it; every part may be absent. */
interface Summary {
  summary?: {
    cost?: { usd_month?: { p5: number; p50: number; p95: number } | null };
    latency_ms?: { p50: number; p95: number; p99: number } | null;
    slo_missed_minutes?: number;
    requests?: number;
    failed?: number;
  };
}

interface Properties {
  detail: SimulationDetail;
  back: ReactNode;
  now: number;
}

export function SimulationResult({ detail, back, now }: Properties) {
  const t = useTranslate();
  const { simulation, result } = detail;
  return (
    <>
      <Panel name="simulation" title={simulation.title || simulation.id.slice(0, 8)} aside={back}>
        <p className="note" role="status" data-state={simulation.state}>
          <span className={`state ${simulation.state}`}>{stateOf(simulation, t)}</span> · {ago(simulation.createdAt, now, t)} · {t("sim.seeds")}: {simulation.seeds}
          {simulation.error && (
            <span className="bad" lang="en">
              {" "}
              {simulation.error}
            </span>
          )}
        </p>
        {result && <Figures result={result} />}
      </Panel>
      {result && <Charts result={result} />}
      {result && <Moves result={result} />}
    </>
  );
}

function Figures({ result }: { result: Result }) {
  const t = useTranslate();
  const { cost, latency_ms: latency, slo_missed_minutes: missed, requests, failed } = (result.summary as Summary).summary ?? {};
  const usd = cost?.usd_month;
  const figures: [string, string][] = [
    [t("sim.costSpread"), usd ? `${dollars(usd.p50)} (${dollars(usd.p5)} – ${dollars(usd.p95)})` : "–"],
    [t("sim.latency"), latency ? `${latency.p50.toFixed(0)} / ${latency.p95.toFixed(0)} / ${latency.p99.toFixed(0)} ms` : "–"],
    [t("sim.missed"), `${missed ?? "–"}`],
    [t("sim.requests"), `${(requests ?? 0).toLocaleString(document.documentElement.lang)}, ${(failed ?? 0).toLocaleString(document.documentElement.lang)} ${t("sim.failed")}`],
  ];
  return (
    <dl className="figures">
      {figures.map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const colours = ["--accent", "--warn", "--busy", "--good", "--bad"];

function Charts({ result }: { result: Result }) {
  const t = useTranslate();
  const { series } = result;
  const named = (columns: readonly { name: string }[]): Line[] => columns.map((column, index) => ({ label: column.name, colour: colours[index % colours.length] ?? "--accent" }));
  const one = (label: string): Line[] => [{ label, colour: "--accent", filled: true }];
  return (
    <div className="charts">
      <One title={t("sim.rate")} result={result} columns={[series.requestsPerSecond]} lines={one(t("sim.rate"))} stepped={false} />
      <One title={t("sim.replicas")} result={result} columns={series.replicas.map((column) => column.values)} lines={named(series.replicas)} />
      <One title={t("sim.nodes")} result={result} columns={series.nodes.map((column) => column.values)} lines={named(series.nodes)} />
      <One title={t("sim.p99Chart")} result={result} columns={[series.p99Ms]} lines={one("p99")} stepped={false} />
      <One title={t("sim.hourly")} result={result} columns={[series.usdHour]} lines={one("$")} value={hourly} />
    </div>
  );
}

const hourly = (value: number): string => value.toFixed(2);

interface OneProperties {
  title: string;
  result: Result;
  columns: readonly (readonly number[])[];
  lines: Line[];
  stepped?: boolean;
  value?: (value: number) => string;
}

function One({ title, result, columns, lines, stepped = true, value }: OneProperties) {
  const t = useTranslate();
  const { seconds } = result.series;
  const data = useMemo((): [number[], ...number[][]] => [[...seconds], ...columns.map((column) => [...column])], [seconds, columns]);
  const most = Math.max(0, ...columns.flat());
  const name = `chart-${title.replace(/\W+/g, "-")}`;
  return (
    <Panel name={name} title={title}>
      <Chart data={data} lines={lines} stepped={stepped} height={170} time={sinceStart} {...(value && { value })} label={t("sim.chart", { name: title, time: sinceStart(seconds.at(-1) ?? 0), most: most < 10 ? most.toFixed(2) : Math.round(most) })} />
    </Panel>
  );
}

function Moves({ result }: { result: Result }) {
  const t = useTranslate();
  return (
    <Panel name="moves" title={t("sim.moves")}>
      {result.moves.length === 0 ? (
        <p className="empty">{t("sim.noMoves")}</p>
      ) : (
        <ol className="moves">
          {result.moves.map((move) => (
            <li key={`${move.seconds} ${move.object} ${move.summary}`}>
              <time>{sinceStart(move.seconds)}</time>
              <span>{move.object}</span>
              <span lang="en">{move.summary}</span>
            </li>
          ))}
        </ol>
      )}
      {result.notes.length > 0 && (
        <div className="note">
          <h3>{t("sim.notes")}</h3>
          <ul lang="en">
            {result.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </div>
      )}
    </Panel>
  );
}
