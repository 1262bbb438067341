import type { ReplicasPoint } from "./model";

export type Column = (number | null)[];

/** The chart's columns over [start, now]: time, current, desired; the last step is drawn on until now, and nothing before the first. */
export function columns(points: readonly ReplicasPoint[], start: number, now: number): [number[], Column, Column] {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return [[start, now], [null, null], [null, null]];
  const end = Math.max(now, last.at);
  const drawn = end > last.at ? [...points, { ...last, at: end }] : points;
  const blank = first.at > start;
  const column = (value: (point: ReplicasPoint) => number): Column => [...(blank ? [null] : []), ...drawn.map(value)];
  return [[...(blank ? [start] : []), ...drawn.map((point) => point.at)], column((point) => point.current), column((point) => point.desired)];
}
