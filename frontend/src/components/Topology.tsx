import { memo, useMemo } from "react";
import type { Node, Pod, Pool } from "../api/types";
import { cpu, memory, share } from "../format";
import { useTranslate } from "../i18n";
import { byName, type Model } from "../live/model";

const legend = ["ready", "starting", "running", "terminating", "failing", "unscheduled"] as const;

/** Pools, their nodes, and the pods on them, as they come and go. */
export function Topology({ model }: { model: Model }) {
  const t = useTranslate();
  const { onNode, unscheduled } = useMemo(() => place(model.pods), [model.pods]);
  const nodes = useMemo(() => byName(model.nodes.values()), [model.nodes]);
  return (
    <section className="panel topology" aria-labelledby="topology-title">
      <div className="heading">
        <h2 id="topology-title">{t("topology.title")}</h2>
        <ul className="legend" aria-label={t("topology.legend")}>
          {legend.map((phase) => (
            <li key={phase}>
              <span className={`pod ${phase}`} aria-hidden="true" />
              {t(`pod.${phase}`)}
            </li>
          ))}
        </ul>
      </div>
      {unscheduled.length > 0 && (
        <div className="unscheduled" data-unscheduled={unscheduled.length}>
          <h3>
            {t("topology.unscheduled")} · {unscheduled.length}
          </h3>
          <Pods pods={unscheduled} />
        </div>
      )}
      {model.pools.size === 0 && <p className="empty">{t("topology.empty")}</p>}
      {byName(model.pools.values()).map((pool) => (
        <PoolRow key={pool.name} pool={pool} nodes={nodes.filter((node) => node.pool === pool.name)} onNode={onNode} />
      ))}
    </section>
  );
}

const nobody: readonly Pod[] = [];

function place(pods: ReadonlyMap<string, Pod>): { onNode: ReadonlyMap<string, Pod[]>; unscheduled: Pod[] } {
  const onNode = new Map<string, Pod[]>();
  const unscheduled: Pod[] = [];
  for (const pod of byName(pods.values())) {
    if (pod.phase === "succeeded" || pod.phase === "failed") continue;
    if (!pod.node) unscheduled.push(pod);
    else onNode.set(pod.node, [...(onNode.get(pod.node) ?? []), pod]);
  }
  return { onNode, unscheduled };
}

function PoolRow({ pool, nodes, onNode }: { pool: Pool; nodes: Node[]; onNode: ReadonlyMap<string, Pod[]> }) {
  const t = useTranslate();
  return (
    <div className="pool" data-pool={pool.name} data-nodes={pool.nodes} data-pods={pool.pods}>
      <div className="pool-head">
        <h3>{pool.name}</h3>
        <p>{t("topology.pool", { nodes: pool.nodes, pods: pool.pods })}</p>
        <p className="faint">{pool.vmSize}</p>
      </div>
      <ul className="nodes">
        {nodes.map((node) => (
          <NodeCard key={node.name} node={node} pods={onNode.get(node.name) ?? nobody} />
        ))}
      </ul>
    </div>
  );
}

const NodeCard = memo(function NodeCard({ node, pods }: { node: Node; pods: readonly Pod[] }) {
  const t = useTranslate();
  return (
    <li className={`node ${node.phase}`} data-node={node.name}>
      <div className="node-head">
        <h4 title={node.name}>{shortNode(node)}</h4>
        {node.phase !== "ready" && <span className="tag">{t(`node.${node.phase}`)}</span>}
      </div>
      <Pods pods={pods} />
      <Meter label={t("topology.cpu")} used={node.requested.cpuMillicores} total={node.allocatable.cpuMillicores} format={cpu} />
      <Meter label={t("topology.memory")} used={node.requested.memoryBytes} total={node.allocatable.memoryBytes} format={memory} />
    </li>
  );
});

interface MeterProperties {
  label: string;
  used: number;
  total: number;
  format: (value: number) => string;
}

function Meter({ label, used, total, format }: MeterProperties) {
  const t = useTranslate();
  const part = share(used, total);
  const text = t("topology.of", { used: format(used), total: format(total) });
  return (
    <div className="meter" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(part * 100)} aria-valuetext={text} title={`${label}: ${text}`}>
      <span className="track">
        <span className={part > 0.9 ? "fill full" : "fill"} style={{ transform: `scaleX(${part})` }} />
      </span>
      <span className="reading">{text}</span>
    </div>
  );
}

function Pods({ pods }: { pods: readonly Pod[] }) {
  const t = useTranslate();
  return (
    <ul className="pods">
      {pods.map((pod) => {
        const phase = t(`pod.${pod.phase}`);
        const restarts = pod.restarts > 0 ? ` · ${t("pod.restarts", { count: pod.restarts })}` : "";
        const words = `${pod.namespace}/${pod.name}: ${phase}${pod.reason ? ` (${pod.reason})` : ""}${restarts}${pod.message ? ` · ${pod.message}` : ""}`;
        return (
          <li key={`${pod.namespace}/${pod.name}`} className={`pod ${pod.phase}`} data-pod={pod.name} data-workload={pod.workload} tabIndex={0} title={words} aria-label={words}>
            <span className="pod-name">{shortName(pod)}</span>
          </li>
        );
      })}
    </ul>
  );
}

/** AKS begins every name of a pool alike; what tells nodes apart comes last. */
const shortNode = (node: Node): string => node.name.replace(/^aks-[^-]+-\d+-/, "");

/** The workload's name: the random end of a pod's name tells nothing at this size. */
const shortName = (pod: Pod): string => pod.workload?.split("/")[1] ?? pod.name;
