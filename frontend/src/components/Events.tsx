import { useMemo } from "react";
import { ago } from "../format";
import { useTranslate } from "../i18n";
import { newestFirst, type Model } from "../live/model";

const SHOWN = 60;

export function Events({ events, now }: { events: Model["events"]; now: number }) {
  const t = useTranslate();
  const newest = useMemo(() => newestFirst(events.values()).slice(0, SHOWN), [events]);
  return (
    <section className="panel" aria-labelledby="events-title">
      <div className="heading">
        <h2 id="events-title">{t("events.title")}</h2>
      </div>
      {newest.length === 0 ? (
        <p className="empty">{t("events.empty")}</p>
      ) : (
        <div className="scroll tall" tabIndex={0} role="region" aria-labelledby="events-title">
          <table>
            <thead>
              <tr>
                {(["when", "what", "about", "message"] as const).map((column) => (
                  <th key={column} scope="col">
                    {t(`events.${column}`)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {newest.map((event) => (
                <tr key={event.id} className={event.severity === "Warning" ? "warning" : ""}>
                  <td className="faint">{ago(event.lastSeenAt ?? undefined, now, t)}</td>
                  <td>
                    {event.reason}
                    {event.count > 1 && <span className="faint"> ×{event.count}</span>}
                  </td>
                  <td>{event.object}</td>
                  <td>{event.message}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
