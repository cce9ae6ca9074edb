/** The page in the browser at one frame of the demo, as docs/figures/browser.webp.
 *
 * make web-test && node docs/figures/browser.mjs [FRAME]
 */

import { writeFileSync } from "node:fs";

import { launch, serve } from "../../tests/web/browser.mjs";

const frame = process.argv[2] ?? "6";
const [browser, site] = await Promise.all([launch(), serve(true)]);
const page = await browser.newPage({ viewport: { width: 1100, height: 800 } });
await page.goto(site.url);
await page.evaluate((frame) => new Promise((done) => {
  const shown = document.getElementById("frame");
  new MutationObserver(() => {
    if (!shown.textContent.startsWith(`${frame} of`)) return;
    document.getElementById("pause").click();
    done();
  }).observe(shown, { childList: true });
}), frame);
const png = await page.locator("main").screenshot();
// Playwright writes no WebP, a browser does.
const webp = await page.evaluate(async (base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes]));
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.7).split(",")[1];
}, png.toString("base64"));
writeFileSync(new URL("browser.webp", import.meta.url), Buffer.from(webp, "base64"));
await browser.close();
site.close();
