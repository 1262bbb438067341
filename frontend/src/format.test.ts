import { expect, it } from "vitest";
import { ago, cpu, memory, share } from "./format";
import { preferredLanguage, translator } from "./i18n";
import { en } from "./i18n/en";
import { es } from "./i18n/es";

it("writes quantities as people read them", () => {
  expect([cpu(250), cpu(1000), cpu(1900), cpu(19_000)]).toEqual(["250 m", "1 vCPU", "1.9 vCPU", "19 vCPU"]);
  expect([memory(128 * 2 ** 20), memory(2.5 * 2 ** 30)]).toEqual(["128 MiB", "2.5 GiB"]);
  expect([share(1, 0), share(3, 2), share(1, 2)]).toEqual([0, 1, 0.5]);
});

it("tells how long ago in both languages", () => {
  const now = Date.parse("2026-11-23T10:00:00Z") / 1000;
  const t = translator("en");
  expect(["2026-11-23T09:59:58Z", "2026-11-23T09:59:30Z", "2026-11-23T09:58:00Z", "2026-11-22T10:00:00Z", undefined].map((time) => ago(time, now, t))).toEqual(["just now", "30 s ago", "2 min ago", "1 d ago", "–"]);
  expect(ago("2026-11-23T08:00:00Z", now, translator("es"))).toBe("hace 2 h");
});

it("has every placeholder in both languages", () => {
  const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
  for (const key of Object.keys(en) as (keyof typeof en)[]) expect(names(es[key]), key).toEqual(names(en[key]));
});

it("follows the browser's languages", () => {
  expect([preferredLanguage(["de-DE", "es-AR", "en"]), preferredLanguage(["en-GB", "es"]), preferredLanguage(["fr"])]).toEqual(["es", "en", "en"]);
});
