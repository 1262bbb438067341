import type { Hpa } from "../api/types";
import { ago } from "../format";
import { useTranslate } from "../i18n";
import { byName, type Model, type ReplicasPoint } from "../live/model";
import { ReplicasChart } from "./ReplicasChart";

const REASONS_SHOWN = 8;
const noPoints: readonly ReplicasPoint[] = [];

interface Properties {
  hpas: Model["hpas"];
  replicas: Model["replicas"];
  now: number;
}

export function Hpas({ hpas, replicas, now }: Properties) {
  const t = useTranslate();
  return (
    <section className="panel" aria-labelledby="hpas-title">
      <div className="heading">
        <h2 id="hpas-title">{t("hpa.title")}</h2>
      </div>
      {hpas.size === 0 && <p className="empty">{t("hpa.empty")}</p>}
      <div className="hpas">
        {byName(hpas.values()).map((hpa) => {
          const key = `${hpa.namespace}/${hpa.name}`;
          return <HpaCard key={key} hpa={hpa} points={replicas.get(key) ?? noPoints} now={now} />;
        })}
      </div>
    </section>
  );
}

function HpaCard({ hpa, points, now }: { hpa: Hpa; points: readonly ReplicasPoint[]; now: number }) {
  const t = useTranslate();
  return (
    <article className="hpa" data-hpa={hpa.name} data-replicas={hpa.currentReplicas} aria-label={hpa.target}>
      <div className="hpa-head">
        <h3>{hpa.name}</h3>
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
      <ReplicasChart points={points} min={hpa.minReplicas} max={hpa.maxReplicas} now={now} />
      <div className="reasons">
        <h4>{t("hpa.reasons")}</h4>
        {hpa.reasons.length === 0 ? (
          <p className="empty">{t("hpa.noReasons")}</p>
        ) : (
          <ol>
            {hpa.reasons.slice(0, REASONS_SHOWN).map((reason) => (
              <li key={reason.id} className={reason.acted ? "acted" : ""}>
                <time dateTime={reason.at ?? undefined}>{ago(reason.at ?? undefined, now, t)}</time>
                <span>{reason.summary}</span>
              </li>
            ))}
          </ol>
        )}
      </div>
    </article>
  );
}

/** Only percentages can be compared without knowing units. */
function isOver(current: string | null | undefined, target: string): boolean {
  return Boolean(current?.endsWith("%") && target.endsWith("%") && Number.parseInt(current) > Number.parseInt(target));
}
