// @vitest-environment node
import { readFile } from "node:fs/promises";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";
import { expect, it } from "vitest";

it("is generated from the backend's committed document", async () => {
  const document = new URL("../../../crates/backend-api/openapi.json", `file://${import.meta.filename}`);
  const generated = COMMENT_HEADER + astToString(await openapiTS(document));
  const committed = await readFile(new URL("./schema.ts", `file://${import.meta.filename}`), "utf8");
  expect(committed === generated, "src/api/schema.ts is out of date: npm run generate").toBe(true);
});
