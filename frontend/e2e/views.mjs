// Looks at every view of the built console, in both themes and both languages: axe finds nothing serious, the browser logs no
// error, the keyboard reaches everything, and the first load stays within its budget.
//
//   npm run views                                                 against e2e/recorded.json
//   MAREA_URL=http://127.0.0.1:8080 npm run views                 against a live platform
//   node e2e/views.mjs --screenshots ../target/console            with pictures to look at
//
// Needs `npm run build` and Chromium; the last line says how much passed.
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright-core";
import { serve } from "./recorded.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: process.env.MAREA_URL },
    screenshots: { type: "string" },
    // Of a live platform: what a published preview must name, a reason that an event must have, and whether to simulate.
    preview: { type: "string" },
    event: { type: "string" },
    simulate: { type: "boolean", default: false },
    chromium: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" },
  },
});
const SCRIPT_LIMIT_BYTES = 250 * 1024;
const SERIOUS = ["serious", "critical"];
const root = new URL("..", import.meta.url);
if (!existsSync(new URL("dist/index.html", root))) {
  console.error("console views: frontend/dist is missing; run `npm run build` first");
  process.exit(1);
}
if (!existsSync(values.chromium)) {
  console.log(`console views: skipped, there is no ${values.chromium} (CHROMIUM names another)`);
  process.exit(0);
}
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", root), "utf8");
if (values.screenshots) await mkdir(values.screenshots, { recursive: true });

const recorded = values.url ? undefined : await serve();
const url = values.url ?? recorded.url;
let passed = 0;
const failures = [];
const check = (what, holds, detail = "") => (holds ? (passed += 1) : failures.push(detail ? `${what}: ${detail}` : what));

const browser = await chromium.launch({ executablePath: values.chromium, args: ["--no-sandbox"] });
try {
  await size();
  if (values.simulate) await simulate();
  for (const theme of ["light", "dark"]) for (const language of ["en", "es"]) await views(theme, language);
  await narrow();
  await keyboard();
  if (recorded) await changes();
  if (values.preview) await shows("/stacks", `[data-preview] .changes`, values.preview);
  if (values.event) await shows("/events", `[data-event="${values.event}"]`, values.event);
} finally {
  await browser.close();
  recorded?.close();
}
for (const failure of failures) console.error(`console views: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** Everything that the page loads before it shows anything. */
async function size() {
  const names = (await readdir(new URL("dist/assets", root))).filter((name) => name.endsWith(".js"));
  let bytes = 0;
  for (const name of names) bytes += gzipSync(await readFile(new URL(`dist/assets/${name}`, root)), { level: 6 }).length;
  console.log(`script: ${(bytes / 1024).toFixed(1)} KiB compressed of ${SCRIPT_LIMIT_BYTES / 1024}`);
  check("script within its budget", bytes > 0 && bytes <= SCRIPT_LIMIT_BYTES, `${bytes} bytes`);
}

async function open(options, preferences = {}) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, ...options });
  page.on("pageerror", (error) => check("no exception", false, `${page.url()}: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && check("no error in the console", false, `${page.url()}: ${message.text()}`));
  await page.addInitScript((wanted) => Object.entries(wanted).forEach(([name, value]) => localStorage.setItem(name, value)), preferences);
  return page;
}

/** Paths of all views, one simulation's with them where there is one. */
async function paths() {
  const answer = await fetch(`${url}/api/v1/simulations`);
  const done = answer.ok ? (await answer.json()).find((one) => one.state === "done") : undefined;
  return ["/", "/autoscalers", "/pods", "/events", "/stacks", "/simulations", ...(done ? [`/simulations/${done.id}`] : [])];
}

async function views(theme, language) {
  const page = await open({ locale: language === "es" ? "es-ES" : "en-GB" }, { "marea.theme": theme, "marea.language": language });
  for (const path of await paths()) {
    await shown(page, path);
    await accessible(page, `${path} ${theme} ${language}`);
    check(`${path} says its language`, (await page.getAttribute("html", "lang")) === language);
    const missing = await page.evaluate(() => /\{\w+\}|undefined|NaN|\[object/.exec(document.body.innerText)?.[0]);
    check(`${path} ${language} has every text`, missing === undefined, missing);
    await picture(page, `${theme}-${language}${path.replace(/\W+/g, "-").replace(/-[0-9a-f]{32}$/, "-one")}`);
  }
  await page.close();
}

async function shown(page, path) {
  await page.goto(url + path);
  await page.waitForSelector("main h2", { timeout: 15_000 });
  // Lists and charts come with the first answer; what arrives moves for a moment.
  await page.waitForFunction(() => document.querySelector(".loading") === null && document.getAnimations().every((animation) => animation.playState !== "running"));
}

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const found = violations.map((one) => `${one.impact} ${one.id} at ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join("; ")}`);
  check(`axe on ${what}`, !violations.some((one) => SERIOUS.includes(one.impact)), found.join(" | "));
  for (const one of violations.filter((one) => !SERIOUS.includes(one.impact))) console.log(`axe on ${what}: ${one.impact} ${one.id} (${one.nodes.length})`);
}

async function picture(page, name) {
  if (values.screenshots) await page.screenshot({ path: `${values.screenshots}/${name}.png`, fullPage: true });
}

/** A telephone: nothing is wider than the screen but what scrolls by itself. */
async function narrow() {
  const page = await open({ viewport: { width: 390, height: 844 } });
  for (const path of await paths()) {
    await shown(page, path);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(`${path} fits a narrow screen`, wide <= 0, `${wide} px too wide`);
    await accessible(page, `${path} narrow`);
  }
  await picture(page, "narrow");
  await page.close();
}

/** Everything by keyboard: the skip link, every view, and what scrolls. */
async function keyboard() {
  const page = await open({});
  await shown(page, "/");
  await page.keyboard.press("Tab");
  check("the first stop skips to the content", (await page.evaluate(() => document.activeElement.getAttribute("href"))) === "#content");
  const stops = [];
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => ({ text: document.activeElement.textContent, tag: document.activeElement.tagName, outline: getComputedStyle(document.activeElement).outlineStyle }));
    if (stop.tag === "BODY") break;
    check(`focus is seen on ${stop.tag} ${stop.text.slice(0, 20)}`, stop.outline !== "none");
    stops.push(stop.text);
  }
  for (const name of ["Autoscalers", "Pods", "Events", "Stacks", "Simulations"]) check(`Tab reaches ${name}`, stops.includes(name));
  await page.getByRole("navigation").getByRole("link", { name: "Events" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Events", level: 2 }).waitFor();
  check("the focus follows into the view", await page.evaluate(() => document.activeElement.id === "content"));
  check("the title names the view", (await page.title()) === "Events · marea");
  await page.getByRole("searchbox").fill("no such words anywhere");
  check("a filter says when nothing fits", await page.getByText("Nothing fits the filter").isVisible());
  await page.goBack();
  check("the browser goes back", await page.locator("[data-pool]").first().isVisible());
  await page.close();
}

async function shows(path, selector, text) {
  const page = await open({});
  await shown(page, path);
  const found = page.locator(selector).filter({ hasText: text }).first();
  const there = await found.waitFor({ timeout: 20_000 }).then(() => true, () => false);
  check(`${path} shows ${text}`, there);
  await page.close();
}

/** The form, a job, its progress and its result. */
async function simulate() {
  const page = await open({ locale: "en-GB" });
  await shown(page, "/simulations");
  const title = `spike ${Date.now() % 100_000}`;
  await page.getByRole("textbox", { name: "Title" }).fill(title);
  await page.getByRole("combobox", { name: "Load", exact: true }).selectOption("spike");
  await page.getByRole("combobox", { name: "How long" }).selectOption("6h");
  await page.getByRole("button", { name: "Simulate" }).click();
  const row = page.locator("[data-simulation=done]").filter({ hasText: title });
  const done = await row.waitFor({ timeout: 120_000 }).then(() => true, () => false);
  check("a simulation comes to its end", done, done ? "" : await page.locator("main").innerText());
  if (done) {
    await page.getByRole("link", { name: title }).click();
    await page.locator("[data-state=done]").waitFor({ timeout: 10_000 });
    check("its result is drawn", (await page.locator(".charts canvas").count()) === 5);
  }
  await page.close();
}

/** What the stream says is on the page at once. */
async function changes() {
  const page = await open({});
  await shown(page, "/");
  const { revision, nodes, pods } = recorded.record.snapshot;
  const node = { ...nodes.find((one) => one.pool === "backend"), name: "aks-backend-0-vmss00000z" };
  const pod = { ...pods.find((one) => one.workload === "Deployment/backend"), name: "backend-new", node: node.name, phase: "starting" };
  recorded.send({ revision: revision + 1, changes: [{ kind: "node", key: node.name, value: node }, { kind: "pod", key: "platform/backend-new", value: pod }] });
  await page.locator(`[data-node="${node.name}"] [data-pod="backend-new"].starting`).waitFor({ timeout: 5000 });
  recorded.send({ revision: revision + 2, changes: [{ kind: "pod", key: "platform/backend-new", value: { ...pod, phase: "ready" } }] });
  await page.locator('[data-pod="backend-new"].ready').waitFor({ timeout: 5000 });
  recorded.send({ revision: revision + 3, changes: [{ kind: "pod", key: "platform/backend-new", value: null }, { kind: "node", key: node.name, value: null }] });
  await page.locator(`[data-node="${node.name}"]`).waitFor({ state: "detached", timeout: 5000 });
  check("a node and its pod come, change and go", true);
  await page.close();
}
