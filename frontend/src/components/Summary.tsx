import type { Cluster } from "../api/types";
import { useTranslate } from "../i18n";
import type { DatabaseState } from "../live/hooks";

export function Summary({ cluster, database }: { cluster: Cluster; database: DatabaseState }) {
  const t = useTranslate();
  const known = typeof database === "object" ? database : undefined;
  return (
    <section className="summary" aria-label={t("summary.title")}>
      <Figure label={t("summary.nodes")} value={`${cluster.nodesReady}`} of={cluster.nodes} name="nodes" />
      <Figure label={t("summary.pods")} value={`${cluster.podsReady}`} of={cluster.pods} name="pods" />
      <Figure label={t("summary.pending")} value={`${cluster.podsPending}`} warn={cluster.podsPending > 0} name="pending" />
      <Figure label={database === "away" ? t("summary.away") : t("summary.connections")} value={known ? `${known.connections}` : "–"} of={known?.maxConnections} warn={database === "away"} name="connections" />
      <Figure label={t("summary.visits")} value={known ? known.visits.toLocaleString() : "–"} name="visits" />
    </section>
  );
}

interface FigureProperties {
  label: string;
  value: string;
  of?: number | undefined;
  warn?: boolean;
  name: string;
}

function Figure({ label, value, of, warn = false, name }: FigureProperties) {
  return (
    <div className={warn ? "figure warn" : "figure"} data-figure={name}>
      <p className="value">
        {value}
        {of !== undefined && <span className="of"> / {of}</span>}
      </p>
      <p className="label">{label}</p>
    </div>
  );
}
