import type { Change, Changes, Cluster, Hpa, KubeEvent, Node, Pod, Pool, Preview, Snapshot, StackRecord } from "../api/types";

/** Seconds since the epoch, with the replicas at that time. */
export interface ReplicasPoint {
  at: number;
  current: number;
  desired: number;
}

/** The cluster as this page knows it. Immutable: every change makes a new one, and what did not change stays the same object. */
export interface Model {
  revision: number;
  cluster: Cluster;
  pools: ReadonlyMap<string, Pool>;
  nodes: ReadonlyMap<string, Node>;
  pods: ReadonlyMap<string, Pod>;
  hpas: ReadonlyMap<string, Hpa>;
  stacks: ReadonlyMap<string, StackRecord>;
  preview: Preview | undefined;
  events: ReadonlyMap<string, KubeEvent>;
  replicas: ReadonlyMap<string, readonly ReplicasPoint[]>;
}

/** Half an hour of steps is more than a page stays interesting; older points fall off. */
const POINTS_KEPT = 2000;

const namespaced = (item: { namespace: string; name: string }) => `${item.namespace}/${item.name}`;
const keyed = <T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, T> => new Map(items.map((item) => [key(item), item]));

export function fromSnapshot(snapshot: Snapshot, at: number, before?: Model): Model {
  const model: Model = {
    revision: snapshot.revision,
    cluster: snapshot.cluster,
    pools: keyed(snapshot.pools, (pool) => pool.name),
    nodes: keyed(snapshot.nodes, (node) => node.name),
    pods: keyed(snapshot.pods, namespaced),
    hpas: keyed(snapshot.hpas, namespaced),
    stacks: keyed(snapshot.stacks, (stack) => stack.name),
    preview: snapshot.preview ?? undefined,
    events: keyed(snapshot.events, (event) => event.id),
    replicas: before?.replicas ?? new Map(),
  };
  return { ...model, replicas: withPoints(model.replicas, model.hpas, at) };
}

export function apply(model: Model, changes: Changes, at: number): Model {
  // A batch that is already in the snapshot comes again after a reconnect.
  if (changes.revision <= model.revision) return model;
  const next = changes.changes.reduce(applyOne, { ...model, revision: changes.revision });
  return next.hpas === model.hpas ? next : { ...next, replicas: withPoints(next.replicas, next.hpas, at) };
}

function applyOne(model: Model, change: Change): Model {
  switch (change.kind) {
    case "cluster":
      return { ...model, cluster: change.value };
    case "pool":
      return { ...model, pools: put(model.pools, change.key, change.value) };
    case "node":
      return { ...model, nodes: put(model.nodes, change.key, change.value) };
    case "pod":
      return { ...model, pods: put(model.pods, change.key, change.value) };
    case "hpa":
      return { ...model, hpas: put(model.hpas, change.key, change.value) };
    case "stack":
      return { ...model, stacks: put(model.stacks, change.key, change.value) };
    case "preview":
      return { ...model, preview: change.value ?? undefined };
    case "event":
      return { ...model, events: put(model.events, change.key, change.value) };
  }
}

function put<T>(map: ReadonlyMap<string, T>, key: string, value: T | null | undefined): ReadonlyMap<string, T> {
  const next = new Map(map);
  if (value == null) next.delete(key);
  else next.set(key, value);
  return next;
}

function withPoints(replicas: Model["replicas"], hpas: Model["hpas"], at: number): Model["replicas"] {
  const next = new Map<string, readonly ReplicasPoint[]>();
  for (const [key, hpa] of hpas) {
    const points = replicas.get(key) ?? [];
    const last = points.at(-1);
    const same = last !== undefined && last.current === hpa.currentReplicas && last.desired === hpa.desiredReplicas;
    next.set(key, same ? points : [...points, { at, current: hpa.currentReplicas, desired: hpa.desiredReplicas }].slice(-POINTS_KEPT));
  }
  return next;
}

export const byName = <T extends { name: string }>(items: Iterable<T>): T[] => [...items].sort((a, b) => a.name.localeCompare(b.name));

export const newestFirst = (events: Iterable<KubeEvent>): KubeEvent[] => [...events].sort((a, b) => (b.lastSeenAt ?? "").localeCompare(a.lastSeenAt ?? ""));
