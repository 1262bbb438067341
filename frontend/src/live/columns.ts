import type { ReplicasPoint } from "./model";

type Column = (number | null)[];

/** The least span of time that a chart shows, so that the first steps are not stretched over the whole width. */
const LEAST_SECONDS = 60;

/** The chart's columns: time, current, desired; the last step is drawn on until now, and nothing before the first. */
export function columns(points: readonly ReplicasPoint[], now: number): [number[], Column, Column] {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return [[], [], []];
  const end = Math.max(now, last.at);
  const drawn = end > last.at ? [...points, { ...last, at: end }] : points;
  const blank = first.at > end - LEAST_SECONDS;
  const column = (value: (point: ReplicasPoint) => number): Column => [...(blank ? [null] : []), ...drawn.map(value)];
  return [[...(blank ? [end - LEAST_SECONDS] : []), ...drawn.map((point) => point.at)], column((point) => point.current), column((point) => point.desired)];
}
