import type { KubeEvent } from "../api/types";
import { ago } from "../format";
import { useTranslate } from "../i18n";
import { Scroll } from "./Panel";

/** Newest first, in Kubernetes' own words. */
export function EventTable({ events, now, tall = false }: { events: readonly KubeEvent[]; now: number; tall?: boolean }) {
  const t = useTranslate();
  return (
    <Scroll name="events" tall={tall}>
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
          {events.map((event) => (
            <tr key={event.id} className={event.severity === "Warning" ? "warning" : ""} data-event={event.reason}>
              <td className="faint" title={event.lastSeenAt ?? undefined}>
                {ago(event.lastSeenAt ?? undefined, now, t)}
              </td>
              <td lang="en">
                {event.reason}
                {event.count > 1 && <span className="faint"> ×{event.count}</span>}
              </td>
              <td className="object">{event.object}</td>
              <td lang="en">{event.message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
