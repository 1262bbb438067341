import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { useTranslate } from "../i18n";
import { columns } from "../live/columns";
import type { ReplicasPoint } from "../live/model";

interface Properties {
  points: readonly ReplicasPoint[];
  min: number;
  max: number;
  /** Seconds since the epoch: the last value holds until now. */
  now: number;
}

const HEIGHT = 140;

/** In the page's language, always with hours: a chart may span minutes or days. */
const clock = (seconds: number): string => new Date(seconds * 1000).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function ReplicasChart({ points, min, max, now }: Properties) {
  const t = useTranslate();
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const labels = [t("hpa.current"), t("hpa.desired")] as const;

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    const axis = { stroke: () => colour("--faint"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const plot = new uPlot(
      {
        width: Math.max(element.clientWidth, 200),
        height: HEIGHT,
        scales: { y: { range: [0, max + 1] } },
        legend: { show: false },
        cursor: { y: false },
        axes: [{ ...axis, space: 90, values: (_plot, ticks) => ticks.map(clock) }, { ...axis, size: 28, incrs: [1, 2, 5, 10, 50, 100] }],
        series: [
          {},
          { label: labels[0], stroke: () => colour("--accent"), fill: () => colour("--accent-soft"), width: 2, points: { show: false }, ...(stepped && { paths: stepped }) },
          { label: labels[1], stroke: () => colour("--warn"), dash: [5, 4], width: 1.5, points: { show: false }, ...(stepped && { paths: stepped }) },
        ],
      },
      [[], [], []],
      element,
    );
    chart.current = plot;
    const resize = new ResizeObserver(() => plot.setSize({ width: Math.max(element.clientWidth, 200), height: HEIGHT }));
    resize.observe(element);
    // Colours come from the page's style, which a change of theme changes.
    const themes = new MutationObserver(() => plot.redraw());
    themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      resize.disconnect();
      themes.disconnect();
      plot.destroy();
      chart.current = null;
    };
  }, [max, labels[0], labels[1]]);

  useEffect(() => {
    chart.current?.setData(columns(points, now));
  }, [points, now, max, labels[0], labels[1]]);

  const first = points[0]?.current ?? min;
  const last = points.at(-1)?.current ?? min;
  return (
    <figure className="chart" role="img" aria-label={t("hpa.chart", { first, last })}>
      <div ref={holder} />
      <figcaption aria-hidden="true">
        <span className="key current">{labels[0]}</span>
        <span className="key desired">{labels[1]}</span>
      </figcaption>
    </figure>
  );
}
