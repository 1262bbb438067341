import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { Snapshot } from "../api/types";
import { columns } from "../live/columns";
import { fromSnapshot } from "../live/model";
import { Summary } from "./Summary";
import { Topology } from "./Topology";

afterEach(cleanup);

const resources = (cpuMillicores: number) => ({ cpuMillicores, memoryBytes: cpuMillicores * 2 ** 20 });
const node = (name: string, pool: string) => ({ name, pool, phase: "ready" as const, vmSize: "Standard_B2s", pods: 1, podsAllocatable: 30, allocatable: resources(1900), requested: resources(950) });
const pool = (name: string, nodes: number) => ({ name, vmSize: "Standard_B2s", nodes, nodesReady: nodes, pods: 1, allocatable: resources(1900), requested: resources(500) });
const snapshot: Snapshot = {
  revision: 1,
  cluster: { name: "marea", nodes: 3, nodesReady: 2, pods: 2, podsReady: 1, podsPending: 1, gaps: [] },
  pools: [pool("backend", 2), pool("systempool", 1)],
  nodes: [node("backend-1", "backend"), node("backend-0", "backend"), node("system-0", "systempool")],
  pods: [
    { namespace: "platform", name: "backend-a", node: "backend-0", workload: "Deployment/backend", phase: "ready", restarts: 2, requested: resources(500) },
    { namespace: "platform", name: "backend-b", workload: "Deployment/backend", phase: "unscheduled", reason: "Unschedulable", restarts: 0, requested: resources(500) },
    { namespace: "kube-system", name: "cilium-x", node: "backend-0", workload: "DaemonSet/cilium", phase: "ready", restarts: 0, requested: resources(50) },
    { namespace: "platform", name: "job", node: "backend-0", phase: "succeeded", restarts: 0, requested: resources(500) },
  ],
  hpas: [],
  stacks: [],
  events: [],
};

it("shows pods on their nodes, nodes in their pools, and who waits", () => {
  const { container } = render(<Topology model={fromSnapshot(snapshot, 0)} />);
  const nodes = [...container.querySelectorAll('[data-pool="backend"] [data-node]')].map((element) => element.getAttribute("data-node"));
  expect(nodes).toEqual(["backend-0", "backend-1"]);
  const first = container.querySelector<HTMLElement>('[data-node="backend-0"]')!;
  expect(within(first).getByText("platform/backend-a: Ready · restarts: 2")).toBeTruthy();
  expect(within(first).queryByText("job")).toBeNull();
  expect(within(first).getByText("AKS: 1")).toBeTruthy();
  expect(within(first).queryByText("cilium")).toBeNull();
  expect(within(first).getByRole("meter", { name: "CPU requested" }).getAttribute("aria-valuenow")).toBe("50");
  expect(container.querySelector("[data-unscheduled]")?.getAttribute("data-unscheduled")).toBe("1");
  expect(screen.getByText("platform/backend-b: Waiting for a node (Unschedulable)")).toBeTruthy();
});

it("says when PostgreSQL is away", () => {
  render(<Summary cluster={snapshot.cluster} database="away" />);
  expect(screen.getByText("PostgreSQL is away")).toBeTruthy();
});

it("draws the last step on until now", () => {
  const step = { at: 100, current: 2, desired: 4 };
  expect(columns([step], 100, 200)).toEqual([[100, 200], [2, 2], [4, 4]]);
  expect(columns([step], 40, 95)).toEqual([[40, 100], [null, 2], [null, 4]]);
  expect(columns([], 5, 15)).toEqual([[5, 15], [null, null], [null, null]]);
});
