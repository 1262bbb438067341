import { memo, useMemo, type CSSProperties, type ReactNode } from "react";
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
      <div className="pools">
        {byName(model.pools.values()).map((pool) => (
          <PoolRow key={pool.name} pool={pool} nodes={nodes.filter((node) => node.pool === pool.name)} onNode={onNode} />
        ))}
      </div>
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
    <div className="pool" data-pool={pool.name} data-nodes={pool.nodes} data-pods={pool.pods} style={{ "--nodes": Math.max(nodes.length, 1) } as CSSProperties}>
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
      <Meter label={t("topology.cpu")} requested={node.requested.cpuMillicores} used={node.used?.cpuMillicores} total={node.allocatable.cpuMillicores} format={cpu} />
      <Meter label={t("topology.memory")} requested={node.requested.memoryBytes} used={node.used?.memoryBytes} total={node.allocatable.memoryBytes} format={memory} />
    </li>
  );
});

interface MeterProperties {
  label: string;
  requested: number;
  used: number | undefined;
  total: number;
  format: (value: number) => string;
}

/** What is requested of what there is, which is what the scheduler goes by, and in it what is used. */
function Meter({ label, requested, used, total, format }: MeterProperties) {
  const t = useTranslate();
  const part = share(requested, total);
  const text = t("topology.of", { used: format(requested), total: format(total) });
  const inUse = used === undefined ? "" : ` · ${t("topology.used", { used: format(used) })}`;
  return (
    <div className="meter" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(part * 100)} aria-valuetext={text + inUse} title={`${label}: ${text}${inUse}`}>
      <span className="track">
        <span className={part > 0.9 ? "fill full" : "fill"} style={{ transform: `scaleX(${part})` }} />
        {used !== undefined && <span className="fill used" style={{ transform: `scaleX(${share(used, total)})` }} />}
      </span>
      <span className="reading">{text}</span>
    </div>
  );
}

/** What the platform's own people deployed, and beside it, small, what AKS puts on every node. */
function Pods({ pods }: { pods: readonly Pod[] }) {
  const t = useTranslate();
  const own = pods.filter((pod) => pod.namespace !== SYSTEM);
  const system = pods.filter((pod) => pod.namespace === SYSTEM);
  return (
    <>
      <ul className="pods">
        {own.map((pod) => (
          <PodMark key={`${pod.namespace}/${pod.name}`} pod={pod}>
            <span className="pod-name">{shortName(pod)}</span>
          </PodMark>
        ))}
      </ul>
      {system.length > 0 && (
        <div className="system">
          <span className="faint">{t("topology.system", { count: system.length })}</span>
          <ul className="pods">
            {system.map((pod) => (
              <PodMark key={`${pod.namespace}/${pod.name}`} pod={pod} small />
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

const SYSTEM = "kube-system";

function PodMark({ pod, small = false, children }: { pod: Pod; small?: boolean; children?: ReactNode }) {
  const t = useTranslate();
  const phase = t(`pod.${pod.phase}`);
  const restarts = pod.restarts > 0 ? ` · ${t("pod.restarts", { count: pod.restarts })}` : "";
  const words = `${pod.namespace}/${pod.name}: ${phase}${pod.reason ? ` (${pod.reason})` : ""}${restarts}${pod.message ? ` · ${pod.message}` : ""}`;
  return (
    <li className={`pod ${pod.phase}${small ? " small" : ""}`} data-pod={pod.name} data-workload={pod.workload} title={words}>
      <span className="hidden">{words}</span>
      <span aria-hidden="true">{children}</span>
    </li>
  );
}

/** AKS begins every name of a pool alike; what tells nodes apart comes last. */
const shortNode = (node: Node): string => node.name.replace(/^aks-[^-]+-\d+-/, "");

/** The workload's name: the random end of a pod's name tells nothing at this size. */
const shortName = (pod: Pod): string => pod.workload?.split("/")[1] ?? pod.name;
