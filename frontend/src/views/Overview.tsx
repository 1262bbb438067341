import { useMemo } from "react";
import { Hpas } from "../components/Hpas";
import { EventTable } from "../components/Events";
import { Panel } from "../components/Panel";
import { StackTable } from "../components/Stacks";
import { Summary } from "../components/Summary";
import { Topology } from "../components/Topology";
import { useTranslate } from "../i18n";
import { useDatabase } from "../live/hooks";
import { newestFirst, type Model } from "../live/model";
import { Link, path } from "../routes";

const EVENTS_SHOWN = 14;
const CHART_SECONDS = 900;

export function Overview({ model, now }: { model: Model; now: number }) {
  const t = useTranslate();
  const database = useDatabase();
  const newest = useMemo(() => newestFirst(model.events.values()).slice(0, EVENTS_SHOWN), [model.events]);
  return (
    <>
      <Summary cluster={model.cluster} database={database} />
      <Topology model={model} />
      <Panel name="hpas" title={t("hpa.title")} aside={<Link to={path("autoscalers")}>{t("more")}<span className="hidden"> {t("hpa.title")}</span></Link>}>
        <Hpas hpas={model.hpas} replicas={model.replicas} now={now} seconds={CHART_SECONDS} />
      </Panel>
      <div className="columns">
        <Panel name="events" title={t("events.title")} aside={<Link to={path("events")}>{t("more")}<span className="hidden"> {t("events.title")}</span></Link>}>
          {newest.length === 0 ? <p className="empty">{t("events.empty")}</p> : <EventTable events={newest} now={now} />}
        </Panel>
        <Panel name="stacks" title={t("stacks.title")} aside={<Link to={path("stacks")}>{t("more")}<span className="hidden"> {t("stacks.title")}</span></Link>}>
          <StackTable stacks={model.stacks} now={now} />
        </Panel>
      </div>
    </>
  );
}
