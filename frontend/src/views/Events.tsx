import { useMemo, useState } from "react";
import { EventTable } from "../components/Events";
import { Filter, fits } from "../components/Filter";
import { Panel } from "../components/Panel";
import { useTranslate } from "../i18n";
import { newestFirst, type Model } from "../live/model";

export function Events({ model, now }: { model: Model; now: number }) {
  const t = useTranslate();
  const [filter, setFilter] = useState("");
  const [warnings, setWarnings] = useState(false);
  const newest = useMemo(() => newestFirst(model.events.values()), [model.events]);
  const shown = newest.filter((event) => (!warnings || event.severity === "Warning") && fits(filter, event.reason, event.object, event.namespace, event.message));
  const controls = (
    <div className="controls">
      <Filter value={filter} setValue={setFilter} shown={shown.length} all={newest.length} />
      <label className="check">
        <input type="checkbox" checked={warnings} onChange={(event) => setWarnings(event.target.checked)} /> {t("events.warnings")}
      </label>
    </div>
  );
  return (
    <Panel name="events" title={t("events.title")} aside={controls}>
      {shown.length === 0 ? <p className="empty">{t(newest.length === 0 ? "events.empty" : "events.none")}</p> : <EventTable events={shown} now={now} tall />}
    </Panel>
  );
}
