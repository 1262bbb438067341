import type { Translate } from "./i18n";

export const cpu = (millicores: number): string => (millicores >= 1000 ? `${trim(millicores / 1000)} vCPU` : `${millicores} m`);

export function memory(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${trim(gib)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

const trim = (value: number): string => value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, "");

/** From 0 to 1, also where nothing is offered. */
export const share = (part: number, whole: number): number => (whole > 0 ? Math.min(1, part / whole) : 0);

/** In the page's language, always with hours: a chart may span minutes or days. */
export const clockTime = (seconds: number): string => new Date(seconds * 1000).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", second: seconds % 60 === 0 ? undefined : "2-digit", hour12: false });

/** Time since a simulation's start: `14:00`, `2 d 14:00`. */
export function sinceStart(seconds: number): string {
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  const clock = `${two((seconds / 3600) % 24)}:${two((seconds / 60) % 60)}`;
  return seconds >= 86_400 ? `${Math.floor(seconds / 86_400)} d ${clock}` : clock;
}

export const dollars = (value: number): string => `$${value.toFixed(value < 10 ? 3 : 2)}`;

export function ago(time: string | undefined, now: number, t: Translate): string {
  const then = time === undefined ? Number.NaN : Date.parse(time) / 1000;
  if (Number.isNaN(then)) return "–";
  const seconds = Math.max(0, Math.round(now - then));
  if (seconds < 5) return t("time.now");
  if (seconds < 60) return t("time.seconds", { n: seconds });
  if (seconds < 3600) return t("time.minutes", { n: Math.floor(seconds / 60) });
  if (seconds < 86_400) return t("time.hours", { n: Math.floor(seconds / 3600) });
  return t("time.days", { n: Math.floor(seconds / 86_400) });
}
