import type { ReplicasPoint } from "./model";

/** The chart's columns: time, current, desired; the last step is drawn on until now. */
export function columns(points: readonly ReplicasPoint[], now: number): [number[], number[], number[]] {
  const last = points.at(-1);
  const drawn = last && last.at < now ? [...points, { ...last, at: now }] : points;
  return [drawn.map((point) => point.at), drawn.map((point) => point.current), drawn.map((point) => point.desired)];
}
