import { expect, it } from "vitest";
import { initial, simulation } from "./scenario";

it("makes a scenario as marea simulate reads it", () => {
  expect(simulation({ ...initial, title: " a day " })).toEqual({
    title: "a day",
    seeds: 10,
    scenario: { duration: "1d", load: { shape: { diurnal: { low: 20, high: 200 } } }, objective: { p99: "300ms", errors: "0.1%" } },
  });
  expect(simulation({ ...initial, load: "spike", duration: "6h" }).scenario).toMatchObject({ load: { shape: { spike: { low: 20, high: 200, at: "90m", for: "90m" } } } });
});

it("sends a trace with its text and leaves its length to it", () => {
  const sent = simulation({ ...initial, load: "trace", trace: { name: "shop.csv", text: "rate\n1\n" }, duration: undefined, peak: 300 });
  expect(sent.trace).toBe("rate\n1\n");
  expect(sent.scenario).toEqual({ load: { trace: "shop.csv", peak: 300 }, objective: { p99: "300ms", errors: "0.1%" } });
});
