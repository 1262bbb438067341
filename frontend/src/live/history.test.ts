import { describe, expect, it } from "vitest";
import type { Hpa, Reason } from "../api/types";
import { within, withHistory } from "./history";

const at = (seconds: number) => new Date(seconds * 1000).toISOString();
const step = (seconds: number, from: number | undefined, to: number): Reason => ({ id: String(seconds), source: "decision", at: at(seconds), summary: "", acted: true, to, ...(from !== undefined && { from }) });
const stay = (seconds: number): Reason => ({ id: String(seconds), source: "decision", at: at(seconds), summary: "stays", acted: false });
const hpa = (reasons: Reason[], more: Partial<Hpa> = {}): Hpa => ({ namespace: "platform", name: "web", target: "Deployment/web", minReplicas: 1, maxReplicas: 9, currentReplicas: 2, desiredReplicas: 2, metrics: [], conditions: [], reasons, ...more });
const flat = (points: ReturnType<typeof withHistory>) => points.map((point) => [point.at, point.desired]);

describe("history", () => {
  it("begins with the steps that were decided before the page was opened", () => {
    const seen = [{ at: 500, current: 5, desired: 5 }];
    expect(flat(withHistory(hpa([step(300, 3, 5), stay(250), step(200, 2, 3)]), seen))).toEqual([[199, 2], [200, 3], [300, 5], [500, 5]]);
    // What was seen is not told twice.
    expect(flat(withHistory(hpa([step(600, 5, 6), step(300, 3, 5)]), seen))).toEqual([[299, 3], [300, 5], [500, 5]]);
  });

  it("does not take back what a step has not brought yet", () => {
    const points = withHistory(hpa([step(300, 8, 5)]), [{ at: 310, current: 8, desired: 5 }]);
    expect(points.map((point) => point.current)).toEqual([8, 8, 8]);
  });

  it("goes without the number before a step where the source does not tell it", () => {
    expect(flat(withHistory(hpa([step(300, undefined, 5)]), []))).toEqual([[300, 5]]);
  });

  it("holds the line since the last scaling where no step is known", () => {
    const seen = [{ at: 500, current: 2, desired: 2 }];
    expect(flat(withHistory(hpa([stay(490)], { createdAt: at(100) }), seen))).toEqual([[100, 2], [500, 2]]);
    expect(flat(withHistory(hpa([], { createdAt: at(100), lastScaledAt: at(200) }), seen))).toEqual([[200, 2], [500, 2]]);
    expect(flat(withHistory(hpa([]), seen))).toEqual([[500, 2]]);
  });

  it("shows a window from the value that held at its start", () => {
    const points = [{ at: 100, current: 1, desired: 1 }, { at: 200, current: 2, desired: 2 }, { at: 300, current: 3, desired: 3 }];
    expect(flat(within(points, 250))).toEqual([[250, 2], [300, 3]]);
    expect(flat(within(points, 400))).toEqual([[400, 3]]);
    expect(flat(within(points, 50))).toEqual([[100, 1], [200, 2], [300, 3]]);
    expect(within([], 50)).toEqual([]);
  });
});
