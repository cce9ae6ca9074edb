/** A web server for the built page, and Chromium. */

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

import { ROOT } from "./helpers.mjs";

export const SITE = process.env.CADSTN_WEB ?? `${ROOT}site/web`;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript",
  ".mjs": "text/javascript", ".wasm": "application/wasm" };
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Why no page can be tested here; empty if one can. */
export function missing() {
  if (!existsSync(`${SITE}/hand.onnx`)) return "no built page: docs/web.py builds it";
  if (!existsSync(CHROMIUM)) return `no browser at ${CHROMIUM}: set CHROMIUM`;
  return existsSync(`${ROOT}node_modules/playwright-core`) ? "" : "no playwright-core: npm ci";
}

export async function launch() {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** Serve the page; isolated: with the headers that give WebAssembly threads. */
export function serve(isolated) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const file = join(SITE, path === "/" ? "index.html" : path);
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
    response.statusCode = existsSync(file) ? 200 : 404;
    response.end(existsSync(file) ? readFileSync(file) : "");
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => {
      done({ url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() });
    });
  });
}
