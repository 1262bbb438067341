import { useEffect, useRef } from "react";
import uPlot from "uplot";
import type { Column } from "../live/columns";

export interface Line {
  label: string;
  /** A custom property of the page's style. */
  colour: string;
  filled?: boolean;
  dashed?: boolean;
}

interface Properties {
  /** Time in seconds, then a column per line. */
  data: [number[], ...Column[]];
  lines: readonly Line[];
  /** Highest value that must fit; the data's own where it is left out. */
  top?: number;
  stepped?: boolean;
  height?: number;
  /** What a screen reader says. */
  label: string;
  time: (seconds: number) => string;
  value?: (value: number) => string;
}

export function Chart({ data, lines, top, stepped = true, height = 150, label, time, value }: Properties) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(data);
  latest.current = data;
  const shape = lines.map((line) => line.colour + String(line.dashed) + String(line.filled)).join();

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const paths = stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
    const axis = { stroke: () => colour("--faint"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const highest = (max: number) => (top ?? Math.max(max, 1)) * 1.08;
    const plot = new uPlot(
      {
        width: Math.max(element.clientWidth, 200),
        height,
        scales: { x: { time: false }, y: { range: (_plot, _min, max) => [0, highest(max)] } },
        legend: { show: false },
        cursor: { show: false },
        axes: [
          { ...axis, space: 90, size: 28, values: (_plot, ticks) => ticks.map(time), incrs: [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 604_800] },
          { ...axis, size: 44, ...(value ? { values: (_plot: uPlot, ticks: number[]) => ticks.map(value) } : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000] }) },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            stroke: () => colour(line.colour),
            width: line.dashed ? 1.5 : 2,
            points: { show: false },
            ...(line.filled && { fill: () => colour(`${line.colour}-soft`) }),
            ...(line.dashed && { dash: [5, 4] }),
            ...(paths && { paths }),
          })),
        ],
      },
      latest.current,
      element,
    );
    chart.current = plot;
    const resize = new ResizeObserver(() => plot.setSize({ width: Math.max(element.clientWidth, 200), height }));
    resize.observe(element);
    // Colours come from the page's style, which a change of theme changes.
    const redraw = () => plot.redraw();
    const themes = new MutationObserver(redraw);
    themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", redraw);
    return () => {
      resize.disconnect();
      themes.disconnect();
      system.removeEventListener("change", redraw);
      plot.destroy();
      chart.current = null;
    };
  }, [top, stepped, height, shape, time, value]);

  useEffect(() => {
    chart.current?.setData(data);
  }, [data]);

  return (
    <figure className="chart">
      <div ref={holder} role="img" aria-label={label} style={{ minHeight: height }} />
      <figcaption aria-hidden="true">
        {lines.map((line) => (
          <span key={line.label} className={line.dashed ? "key dashed" : "key"} style={{ "--hue": `var(${line.colour})` } as React.CSSProperties}>
            {line.label}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
