import { describe, expect, it } from "vitest";
import type { Change, Hpa, Snapshot } from "../api/types";
import { apply, fromSnapshot } from "./model";

const hpa = (currentReplicas: number, desiredReplicas: number): Hpa => ({
  namespace: "platform",
  name: "backend",
  target: "Deployment/backend",
  minReplicas: 2,
  maxReplicas: 10,
  currentReplicas,
  desiredReplicas,
  metrics: [],
  conditions: [],
  reasons: [],
});

const snapshot = (more: Partial<Snapshot> = {}): Snapshot => ({
  revision: 1,
  cluster: { name: "marea", nodes: 0, nodesReady: 0, pods: 0, podsReady: 0, podsPending: 0, gaps: [] },
  pools: [],
  nodes: [],
  pods: [{ namespace: "platform", name: "backend-1", phase: "ready", restarts: 0, requested: { cpuMillicores: 1, memoryBytes: 1 } }],
  hpas: [hpa(2, 2)],
  stacks: [],
  events: [],
  ...more,
});

const changed = (revision: number, ...changes: Change[]) => ({ revision, changes });

describe("model", () => {
  it("adds, replaces and removes by key", () => {
    const start = fromSnapshot(snapshot(), 100);
    const pod = { ...snapshot().pods[0]!, name: "backend-2" };
    const added = apply(start, changed(2, { kind: "pod", key: "platform/backend-2", value: pod }), 101);
    const removed = apply(added, changed(3, { kind: "pod", key: "platform/backend-1", value: null }), 102);
    expect([...removed.pods.keys()]).toEqual(["platform/backend-2"]);
    expect([...start.pods.keys()]).toEqual(["platform/backend-1"]);
    expect(removed.nodes).toBe(start.nodes);
  });

  it("ignores a batch that the snapshot already holds", () => {
    const start = fromSnapshot(snapshot({ revision: 5 }), 100);
    expect(apply(start, changed(5, { kind: "pod", key: "platform/backend-1", value: null }), 101)).toBe(start);
  });

  it("keeps a point per step of an autoscaler, also over a reconnect", () => {
    const start = fromSnapshot(snapshot(), 100);
    const asked = apply(start, changed(2, { kind: "hpa", key: "platform/backend", value: hpa(2, 4) }), 110);
    const same = apply(asked, changed(3, { kind: "hpa", key: "platform/backend", value: hpa(2, 4) }), 120);
    const again = fromSnapshot(snapshot({ revision: 9, hpas: [hpa(4, 4)] }), 130, same);
    expect(again.replicas.get("platform/backend")).toEqual([
      { at: 100, current: 2, desired: 2 },
      { at: 110, current: 2, desired: 4 },
      { at: 130, current: 4, desired: 4 },
    ]);
  });
});
