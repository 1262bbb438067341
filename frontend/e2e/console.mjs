// Watches the console of a live platform while it is under load, as acceptance line 6 asks.
//
//   MAREA_URL=http://127.0.0.1:8080 node e2e/console.mjs [--for 240] [--replicas 10] [--nodes 4] [--screenshots ../target/console]
//
// Ends with 0 when the page has shown at least that many backend replicas and backend nodes, and no error was logged.
import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: process.env.MAREA_URL ?? "http://127.0.0.1:8080" },
    for: { type: "string", default: "240" },
    replicas: { type: "string", default: "3" },
    nodes: { type: "string", default: "2" },
    screenshots: { type: "string", default: new URL("../../target/console", import.meta.url).pathname },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});
const seconds = Number(values.for);
const wanted = { replicas: Number(values.replicas), nodes: Number(values.nodes) };
const SCRIPT_LIMIT_BYTES = 250 * 1024;

await mkdir(values.screenshots, { recursive: true });
const browser = await chromium.launch({ executablePath: values.chromium, args: ["--no-sandbox"] });
const failures = [];
try {
  await watch();
} finally {
  await browser.close();
}
for (const failure of failures) console.error(`console e2e: ${failure}`);
console.log(`${failures.length === 0 ? 1 : 0} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;

async function watch() {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, locale: "en-GB" });
  page.on("pageerror", (error) => failures.push(`the page threw: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && failures.push(`the page logged: ${message.text()}`));
  let script = 0;
  page.on("response", async (response) => {
    if (new URL(response.url()).pathname.endsWith(".js")) script += (await response.request().sizes()).responseBodySize;
  });

  const began = Date.now();
  await page.goto(values.url);
  await page.waitForSelector("[data-pool]", { timeout: 15_000 });
  console.log(`first view after ${Date.now() - began} ms, ${script} bytes of script`);
  if (script > SCRIPT_LIMIT_BYTES) failures.push(`the page loads ${script} bytes of script, more than ${SCRIPT_LIMIT_BYTES}`);
  await page.screenshot({ path: `${values.screenshots}/start.png`, fullPage: true });

  const seen = await follow(page);
  await page.screenshot({ path: `${values.screenshots}/end.png`, fullPage: true });
  if (seen.replicas < wanted.replicas) failures.push(`the page showed ${seen.replicas} backend replicas at most, expected ${wanted.replicas}`);
  if (seen.nodes < wanted.nodes) failures.push(`the page showed ${seen.nodes} backend nodes at most, expected ${wanted.nodes}`);
  await looks(page);
}

/** The page's own words about the backend, noted whenever they change, until what is wanted was seen or time is up. */
async function follow(page) {
  const most = { replicas: 0, nodes: 0 };
  let last = "";
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const now = await page.evaluate(() => ({
      replicas: document.querySelectorAll('[data-workload="Deployment/backend"].ready').length,
      nodes: document.querySelectorAll('[data-pool="backend"] [data-node]').length,
      reason: document.querySelector('[data-hpa="backend"] .reasons li.acted span')?.textContent ?? "",
    }));
    const line = `${now.replicas} replicas on ${now.nodes} nodes${now.reason && ` · ${now.reason}`}`;
    if (line !== last) {
      console.log(line);
      last = line;
    }
    if (now.replicas > most.replicas || now.nodes > most.nodes) await page.screenshot({ path: `${values.screenshots}/peak.png`, fullPage: true });
    most.replicas = Math.max(most.replicas, now.replicas);
    most.nodes = Math.max(most.nodes, now.nodes);
    if (most.replicas >= wanted.replicas && most.nodes >= wanted.nodes) break;
    await page.waitForTimeout(500);
  }
  return most;
}

/** The other language and the dark theme, by keyboard-reachable controls. */
async function looks(page) {
  await page.getByRole("combobox", { name: "Language" }).selectOption("es");
  await page.getByRole("heading", { name: "Grupos, nodos y pods" }).waitFor();
  await page.getByRole("combobox", { name: "Tema" }).selectOption("dark");
  await page.screenshot({ path: `${values.screenshots}/dark-es.png`, fullPage: true });
}
