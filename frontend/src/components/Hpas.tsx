import { useMemo } from "react";
import type { Hpa, Reason } from "../api/types";
import { ago, clockTime } from "../format";
import { useTranslate } from "../i18n";
import { columns } from "../live/columns";
import { within, withHistory } from "../live/history";
import { byName, type Model, type ReplicasPoint } from "../live/model";
import { Chart } from "./Chart";

const noPoints: readonly ReplicasPoint[] = [];

interface Properties {
  hpas: Model["hpas"];
  replicas: Model["replicas"];
  now: number;
  /** How far back the charts go. */
  seconds: number;
  /** With conditions, every reason and its numbers. */
  detailed?: boolean;
}

export function Hpas({ hpas, replicas, now, seconds, detailed = false }: Properties) {
  const t = useTranslate();
  if (hpas.size === 0) return <p className="empty">{t("hpa.empty")}</p>;
  return (
    <div className={detailed ? "hpas detailed" : "hpas"}>
      {byName(hpas.values()).map((hpa) => {
        const key = `${hpa.namespace}/${hpa.name}`;
        return <HpaCard key={key} hpa={hpa} points={replicas.get(key) ?? noPoints} now={now} seconds={seconds} detailed={detailed} />;
      })}
    </div>
  );
}

const SHOWN = 5;

interface CardProperties {
  hpa: Hpa;
  points: readonly ReplicasPoint[];
  now: number;
  seconds: number;
  detailed: boolean;
}

function HpaCard({ hpa, points, now, seconds, detailed }: CardProperties) {
  const t = useTranslate();
  const reasons = detailed ? hpa.reasons : hpa.reasons.slice(0, SHOWN);
  const shown = useMemo(() => within(withHistory(hpa, points), now - seconds), [hpa, points, now, seconds]);
  const data = useMemo(() => columns(shown, now - seconds, now), [shown, now, seconds]);
  const lines = [
    { label: t("hpa.current"), colour: "--accent", filled: true },
    { label: t("hpa.desired"), colour: "--warn", dashed: true },
  ];
  const values = shown.map((point) => point.desired);
  const summary = { first: values[0] ?? hpa.desiredReplicas, last: values.at(-1) ?? hpa.desiredReplicas, least: Math.min(hpa.desiredReplicas, ...values), most: Math.max(hpa.desiredReplicas, ...values), minutes: Math.round(seconds / 60) };
  return (
    <article className="hpa" data-hpa={hpa.name} data-replicas={hpa.currentReplicas} aria-labelledby={`hpa-${hpa.namespace}-${hpa.name}`}>
      <div className="hpa-head">
        <h3 id={`hpa-${hpa.namespace}-${hpa.name}`}>{hpa.name}</h3>
        <p>
          <strong>{t("hpa.replicas", { current: hpa.currentReplicas, desired: hpa.desiredReplicas })}</strong> <span className="faint">{t("hpa.bounds", { min: hpa.minReplicas, max: hpa.maxReplicas })}</span>
        </p>
        <ul className="metrics">
          {hpa.metrics.map((metric) => (
            <li key={metric.name} className={isOver(metric.current, metric.target) ? "over" : ""}>
              {t("hpa.metric", { name: metric.name, current: metric.current ?? t("hpa.unknown"), target: metric.target })}
            </li>
          ))}
        </ul>
      </div>
      <Chart data={data} lines={lines} top={hpa.maxReplicas} height={detailed ? 200 : 140} label={t("hpa.chart", summary)} time={clockTime} />
      {detailed && <Conditions hpa={hpa} />}
      <div className="reasons">
        <h4>{t("hpa.reasons")}</h4>
        {reasons.length === 0 ? (
          <p className="empty">{t("hpa.noReasons")}</p>
        ) : (
          <ol>
            {reasons.map((reason) => (
              <ReasonLine key={reason.id} reason={reason} now={now} />
            ))}
          </ol>
        )}
      </div>
    </article>
  );
}

/** Reasons are in upstream's own words, whatever the page's language is. */
function ReasonLine({ reason, now }: { reason: Reason; now: number }) {
  const t = useTranslate();
  const details = reason.details ?? [];
  return (
    <li className={reason.acted ? "acted" : ""}>
      <time dateTime={reason.at ?? undefined} title={reason.at ?? undefined}>
        {ago(reason.at ?? undefined, now, t)}
      </time>
      {details.length === 0 ? (
        <span lang="en">{reason.summary}</span>
      ) : (
        <details>
          <summary>
            <span lang="en">{reason.summary}</span>
          </summary>
          <ul className="rules" lang="en">
            {details.map((detail) => (
              <li key={detail}>{detail}</li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}

function Conditions({ hpa }: { hpa: Hpa }) {
  const t = useTranslate();
  if (hpa.conditions.length === 0) return null;
  return (
    <table className="conditions">
      <caption className="hidden">{t("hpa.conditions")}</caption>
      <thead className="hidden">
        <tr>
          <th scope="col">{t("hpa.condition")}</th>
          <th scope="col">{t("hpa.status")}</th>
          <th scope="col">{t("events.message")}</th>
        </tr>
      </thead>
      <tbody lang="en">
        {hpa.conditions.map((condition) => (
          <tr key={condition.kind}>
            <th scope="row">{condition.kind}</th>
            <td className={isBad(condition) ? "bad" : ""}>{condition.status}</td>
            <td>
              <strong>{condition.reason}</strong> {condition.message}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Being able to scale is good, being limited is not; but at rest everything stands at its minimum. */
const isBad = ({ kind, status, reason }: Hpa["conditions"][number]): boolean => (kind === "ScalingLimited" ? status === "True" && reason !== "TooFewReplicas" : status === "False");

/** Only percentages can be compared without knowing units. */
function isOver(current: string | null | undefined, target: string): boolean {
  return Boolean(current?.endsWith("%") && target.endsWith("%") && Number.parseInt(current) > Number.parseInt(target));
}
