import type { Hpa } from "../api/types";
import type { ReplicasPoint } from "./model";

const seconds = (time: string | null | undefined): number => (time == null ? Number.NaN : Date.parse(time) / 1000);

/** An autoscaler's replicas before this page was opened: its own decisions tell them. What was seen here comes after. */
export function withHistory(hpa: Hpa, seen: readonly ReplicasPoint[]): readonly ReplicasPoint[] {
  const opened = seen[0]?.at ?? Number.POSITIVE_INFINITY;
  const decided = hpa.reasons
    .map((reason) => ({ at: seconds(reason.at), from: reason.from ?? undefined, to: reason.to ?? undefined }))
    .filter((step) => !Number.isNaN(step.at))
    .sort((a, b) => a.at - b.at);
  const steps = decided.filter((step): step is { at: number; from: number | undefined; to: number } => step.to !== undefined);
  const before: ReplicasPoint[] = [];
  const point = (at: number, replicas: number) => before.push({ at, current: replicas, desired: replicas });
  const first = steps[0];
  // Where no step is known it has been as it is since it scaled last, or since it exists.
  const since = [hpa.lastScaledAt, hpa.createdAt].map(seconds).find((time) => !Number.isNaN(time));
  if (first === undefined) {
    if (since !== undefined && since < opened) point(since, seen[0]?.desired ?? hpa.desiredReplicas);
  } else {
    for (const step of steps) {
      if (step.at >= opened) break;
      // Where an earlier step is not known any more, the line begins with what this one found.
      if (step.from !== undefined && before.at(-1)?.desired !== step.from) point(step.at - 1, step.from);
      point(step.at, step.to);
    }
  }
  // What a decision wants is there a while later; this page has seen how far that was.
  const last = before.at(-1);
  if (last !== undefined && seen[0] !== undefined) last.current = seen[0].current;
  return [...before, ...seen];
}

/** The part of the line that a window shows: from the value that held at its start. */
export function within(points: readonly ReplicasPoint[], start: number): readonly ReplicasPoint[] {
  const inside = points.findIndex((point) => point.at > start);
  if (inside === 0) return points;
  const held = points.at(inside < 0 ? -1 : inside - 1);
  return held === undefined ? [] : [{ ...held, at: start }, ...(inside < 0 ? [] : points.slice(inside))];
}
