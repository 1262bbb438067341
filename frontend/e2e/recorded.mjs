// The built console on a free loopback port, with an API that answers what was recorded of a live platform.
//
//   node e2e/recorded.mjs record http://127.0.0.1:8080    writes e2e/recorded.json anew
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const file = fileURLToPath(new URL("./recorded.json", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
// As nginx answers (container/default.conf.template): what it forbids must not be needed here either.
const policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'self'";

/** Times of the record are moved so that its newest is now. */
export async function serve() {
  const text = await readFile(file, "utf8");
  const { recordedAt } = JSON.parse(text);
  const shift = Date.now() - Date.parse(recordedAt);
  const record = JSON.parse(text, (_key, value) => (typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(value) ? new Date(Date.parse(value) + shift).toISOString() : value));
  const open = new Set();
  const server = createServer((request, response) => void answer(request, response, record, open));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** To everybody who follows, as the backend would. */
    send: (changes) => open.forEach((response) => response.write(`event: changes\ndata: ${JSON.stringify(changes)}\n\n`)),
    record,
    close: () => {
      open.forEach((response) => response.end());
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(request, response, record, open) {
  const { pathname } = new URL(request.url, "http://localhost");
  const json = (status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (pathname === "/api/v1/stream") {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.write(`event: snapshot\nid: 1\ndata: ${JSON.stringify(record.snapshot)}\n\n`);
    open.add(response);
    request.on("close", () => open.delete(response));
  } else if (pathname === "/api/v1/overview") {
    json(200, record.overview);
  } else if (pathname === "/api/v1/simulations" && request.method === "GET") {
    json(200, record.simulations);
  } else if (pathname.startsWith("/api/v1/simulations/") && request.method === "GET") {
    const found = record.details[decodeURIComponent(pathname.split("/").at(-1))];
    found ? json(200, found) : json(404, { type: "urn:marea:problem:no-simulation", title: "There is no such simulation", status: 404, detail: "" });
  } else if (pathname.startsWith("/api/")) {
    json(404, { type: "urn:marea:problem:not-found", title: "No such route", status: 404, detail: pathname });
  } else {
    await page(pathname, response);
  }
}

async function page(pathname, response) {
  const path = join(dist, normalize(pathname));
  const headers = (name) => ({ "content-type": types[extname(name)] ?? "application/octet-stream", "content-security-policy": policy });
  try {
    const body = await readFile(extname(path) === "" ? join(dist, "index.html") : path);
    response.writeHead(200, headers(extname(path) === "" ? "index.html" : path)).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

async function record(url) {
  const get = async (path) => {
    const answer = await fetch(url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  };
  const simulations = await get("/api/v1/simulations");
  const details = {};
  for (const { id } of simulations) details[id] = await get(`/api/v1/simulations/${id}`);
  const stream = await fetch(`${url}/api/v1/stream`);
  let text = "";
  for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("\n\n")) break;
  }
  const snapshot = JSON.parse(/^data: ?(.*)$/m.exec(text)[1]);
  const whole = { recordedAt: new Date().toISOString(), overview: await get("/api/v1/overview"), snapshot, simulations, details };
  await writeFile(file, `${JSON.stringify(whole)}\n`);
  console.log(`${file}: ${snapshot.pods.length} pods, ${snapshot.events.length} events, ${simulations.length} simulations`);
}

if (process.argv[2] === "record") {
  await record(process.argv[3] ?? "http://127.0.0.1:8080");
  process.exit(0);
}
