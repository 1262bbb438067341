import { expect, it } from "vitest";
import { fits } from "./Filter";

it("finds what has every word somewhere", () => {
  const check = (filter: string, expected: boolean) => expect(fits(filter, "backend-x", "platform", null, "Ready"), filter).toBe(expected);
  check("", true);
  check("READY back", true);
  check("back missing", false);
});
