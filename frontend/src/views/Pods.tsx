import { useMemo, useState } from "react";
import type { Pod } from "../api/types";
import { Filter, fits } from "../components/Filter";
import { Panel, Scroll } from "../components/Panel";
import { ago, cpu, memory } from "../format";
import { useTranslate } from "../i18n";
import type { Model } from "../live/model";

const columns = ["name", "namespace", "phase", "node", "cpu", "memory", "restarts", "age"] as const;
const numbers: readonly string[] = ["cpu", "memory", "restarts"];

/** Those that are not well first, then the platform's own, then by name. */
const rank = (pod: Pod): number => (pod.phase === "ready" || pod.phase === "succeeded" ? (pod.namespace === "kube-system" ? 2 : 1) : 0);

export function Pods({ model, now }: { model: Model; now: number }) {
  const t = useTranslate();
  const [filter, setFilter] = useState("");
  const sorted = useMemo(() => [...model.pods.values()].sort((a, b) => rank(a) - rank(b) || a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name)), [model.pods]);
  const shown = sorted.filter((pod) => fits(filter, pod.name, pod.namespace, pod.node, pod.workload, pod.reason, t(`pod.${pod.phase}`)));
  const of = (used: number | undefined, requested: number, format: (value: number) => string) => `${used === undefined ? "–" : format(used)} / ${requested > 0 ? format(requested) : "–"}`;
  return (
    <Panel name="pods" title={t("pods.title")} aside={<div className="controls"><Filter value={filter} setValue={setFilter} shown={shown.length} all={sorted.length} /></div>}>
      <Scroll name="pods" tall>
        <table>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} scope="col" className={numbers.includes(column) ? "number" : undefined}>
                  {t(`pods.${column}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((pod) => (
              <tr key={`${pod.namespace}/${pod.name}`}>
                <th scope="row">{pod.name}</th>
                <td>{pod.namespace}</td>
                <td>
                  <span className={`pod ${pod.phase}`}>{t(`pod.${pod.phase}`)}</span>
                  {pod.reason && (
                    <span className="why" lang="en" title={pod.message ?? undefined}>
                      {" "}
                      {pod.reason}
                    </span>
                  )}
                </td>
                <td>{pod.node ?? "–"}</td>
                <td className="number">{of(pod.used?.cpuMillicores, pod.requested.cpuMillicores, cpu)}</td>
                <td className="number">{of(pod.used?.memoryBytes, pod.requested.memoryBytes, memory)}</td>
                <td className="number">{pod.restarts}</td>
                <td title={pod.createdAt ?? undefined}>{ago(pod.createdAt ?? undefined, now, t)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}
