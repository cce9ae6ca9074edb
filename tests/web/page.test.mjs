/** The built page in Chromium: it tracks as Python does, and reports what is wrong in one sentence. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { after, before, test } from "node:test";

import { HAND21 } from "../../src/cadstn/web/skeleton.js";
import { launch, missing, serve, SITE } from "./browser.mjs";
import { demoFile, PYTHON, python, ROOT } from "./helpers.mjs";

const skip = missing() || false;
// Playwright's usual look at every frame that is drawn takes a part of the time it measures.
const WAIT = { timeout: 120_000, polling: 50 };
const FRAMES = 40;
let browser, site, folder;

before(async () => {
  if (skip) return;
  [browser, site] = await Promise.all([launch(), serve(true)]);
  folder = mkdtempSync(`${tmpdir()}/page-`);
});
after(async () => {
  await browser?.close();
  site?.close();
  if (folder) rmSync(folder, { recursive: true });
});

/** Open the page; the test fails on any error in its console. */
async function open(t, address = site.url, options = {}) {
  const page = await browser.newPage(options);
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  t.after(async () => {
    await page.close();
    if (!options.errors) assert.deepEqual(errors, []);
  });
  await options.prepare?.(page);
  await page.goto(address);
  return page;
}

const text = (page, id) => page.textContent(`#${id}`);
const status = (page, part) =>
  page.waitForFunction((part) => document.getElementById("status").textContent.includes(part), part, WAIT);
const tracked = (page) =>
  page.waitForFunction(() => /m,|m$/.test(document.getElementById("hand").textContent), null, WAIT);

test("bones and colours are those of Python", () => {
  const code = "import json; from cadstn.geometry.skeleton import HAND21; print(json.dumps(HAND21.bones))";
  assert.deepEqual(HAND21.bones, JSON.parse(python(code)));
  assert.equal(new Set(HAND21.colours).size, 6); // five fingers, and none for the wrist
});

// Each frame begins with Python's state. A tracker left to itself meets near ties, which rounding
// decides: then two builds of onnxruntime part ways in Python as well, and both are right.
test("joints are those of the exported graph in Python within 0.01 mm", { skip }, async (t) => {
  const code = `
import json, sys, numpy as np, onnxruntime
from importlib import resources
from cadstn.graph.file import write_whole
from cadstn.io import open_recording
write_whole(sys.argv[1])
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
names = [one.name for one in session.get_outputs()]
state = np.zeros(next(one.shape for one in session.get_inputs() if one.name == "state"), np.float32)
hands = []
for frame in list(open_recording(resources.files("cadstn") / "demo"))[:int(sys.argv[2])]:
    c = frame.camera
    given = {"depth": frame.depth, "intrinsics": np.float32([c.fx, c.fy, c.cx, c.cy]), "state": state}
    out = dict(zip(names, session.run(None, given)))
    found = bool(out["found"][0])
    hands.append({"state": state.tolist(), "found": found, "presence": float(out["presence"][0]),
                  "side": "left" if out["left"][0] else "right",
                  "scales": out["error_scale_mm"][0].tolist() if found else None,
                  "joints": out["joints_mm"][0].tolist() if found else None})
    state = out["new_state"]
print(json.dumps(hands))`;
  const expected = JSON.parse(python(code, `${folder}/hand.onnx`, String(FRAMES)));
  const page = await open(t, `${site.url}style.css`, { errors: true });
  const states = expected.map(({ state }) => state.flat());
  const got = await page.evaluate(async (states) => {
    const [{ Tracker }, { openFiles }] = await Promise.all([import("/tracker.js"), import("/recording.js")]);
    const bytes = new Uint8Array(await (await fetch("/demo.zip")).arrayBuffer());
    const recording = await openFiles([{ name: "demo.zip", bytes }]);
    const tracker = await Tracker.load("/hand.onnx", `${location.origin}/ort/`, { optimised: true });
    const hands = [];
    for (const [i, state] of states.entries()) {
      tracker.state.data.set(state);
      hands.push(...(await tracker.step({ ...(await recording.frame(i)), camera: recording.camera })));
    }
    return hands;
  }, states);
  let worst = 0;
  expected.forEach(({ found, joints, presence, side, scales }, i) => {
    assert.equal(got[i].found, found);
    if (!found) return;
    assert.ok(Math.abs(got[i].presence - presence) < 1e-4);
    assert.equal(got[i].side, side);
    assert.equal(got[i].errorScaleMm.length, 21);
    scales.forEach((mm, k) => assert.ok(Math.abs(mm - got[i].errorScaleMm[k]) < 0.1));
    const flat = got[i].joints.flat();
    joints.flat().forEach((mm, k) => (worst = Math.max(worst, Math.abs(mm - flat[k]))));
  });
  assert.ok(expected.filter(({ found }) => found).length > FRAMES / 2);
  t.diagnostic(`largest difference of a coordinate: ${worst.toExponential(1)} mm`);
  assert.ok(worst < 0.01, `${worst} mm`);
});

test("it starts and plays the packaged recording", { skip }, async (t) => {
  const start = performance.now();
  const page = await open(t, `${site.url}?fast${process.env.CADSTN_WEB_OPTIONS ?? ""}`);
  await tracked(page);
  const started = performance.now() - start;
  await page.waitForFunction(() => /^(1[34]\d|150) /.test(document.getElementById("frame").textContent), null, WAIT);
  const rate = Number(await text(page, "rate"));
  t.diagnostic(`first hand after ${started.toFixed(0)} ms; ${await text(page, "took")} a frame, ` +
    `${rate} frames a second, ${await text(page, "backend")}`);
  assert.match(await text(page, "status"), /packaged recording: 150 frames/);
  // As wanted on a machine that does nothing else; any other one is to be usable.
  const alone = Boolean(process.env.CADSTN_WEB_SPEED);
  assert.ok(started < (alone ? 2000 : 60_000), `first hand after ${started} ms`);
  assert.ok(alone ? rate >= 60 : parseFloat(await text(page, "took")) < 2000, `${rate} frames a second`);
});

test("it pauses, and the view turns with the mouse", { skip }, async (t) => {
  const page = await open(t);
  await tracked(page);
  await page.click("#pause");
  await page.waitForTimeout(500);
  const picture = () => page.evaluate(() => document.getElementById("space").toDataURL());
  const before = await picture();
  assert.equal(await picture(), before);
  const box = await page.locator("#space").boundingBox();
  await page.mouse.move(box.x + 50, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + 150, box.y + 80);
  await page.mouse.up();
  assert.notEqual(await picture(), before);
  const place = await text(page, "frame");
  await page.waitForTimeout(500);
  assert.equal(await text(page, "frame"), place);
  await page.click("#pause");
  await page.waitForFunction((place) => document.getElementById("frame").textContent !== place, place, WAIT);
});

/** The first frames of the packaged recording as an .npz file; code: further arrays. */
const shortRecording = (frames, code = "") => Buffer.from(python(`
import sys, numpy as np
from importlib import resources
from cadstn.io import open_recording
demo = open_recording(resources.files("cadstn") / "demo")
depth = np.stack([f.depth for f in list(demo)[:int(sys.argv[1])]]).astype(np.uint16)
np.savez_compressed(sys.stdout.buffer, depth=depth, camera=np.array(demo.camera.to_json())${code})`, String(frames)));

test("of several recordings the one that was opened last plays, however long others load", { skip }, async (t) => {
  for (const end of ["continue", "abort"]) {
    let arrive;
    const asked = new Promise((done) => (arrive = done));
    let go;
    const prepare = (page) => page.route("**/demo.zip", async (route) => {
      arrive();
      await new Promise((done) => (go = done));
      await route[end]();
    });
    const page = await open(t, site.url, { prepare, errors: end === "abort" });
    await asked;
    await page.setInputFiles("#files", { name: "three.npz", mimeType: "", buffer: shortRecording(3) });
    await status(page, "three.npz: 3 frames");
    await tracked(page);
    go();
    await page.waitForTimeout(1500);
    assert.match(await text(page, "status"), /^three\.npz: 3 frames/);
    assert.match(await text(page, "frame"), /of 3$/);
  }
});

/** Open the page without the packaged recording; `steps` of it are what the tracker was given. */
const watched = (t) => open(t, site.url, {
  errors: true,
  prepare: async (page) => {
    await page.route("**/demo.zip", (route) => route.abort());
    await page.addInitScript(() => {
      const post = Worker.prototype.postMessage;
      globalThis.steps = [];
      Worker.prototype.postMessage = function (message) {
        const { frame, fresh } = message.given;
        if (message.name === "step") globalThis.steps.push({ fresh, width: frame.width });
        post.call(this, message);
      };
    });
  },
});

/** Whether each of the first frames began a stream. */
async function freshOf(page, count) {
  await page.waitForFunction((count) => globalThis.steps.length >= count, count, WAIT);
  return page.evaluate((count) => globalThis.steps.slice(0, count).map(({ fresh }) => fresh), count);
}

test("the tracker forgets the hand where a shot begins", { skip }, async (t) => {
  const page = await watched(t);
  const buffer = shortRecording(3, ", cuts=np.array([2])");
  await page.setInputFiles("#files", { name: "cut.npz", mimeType: "", buffer });
  assert.deepEqual(await freshOf(page, 6), [true, false, true, true, false, true]);
});

test("a damaged frame is reported and skipped, and the next one begins the shot", { skip }, async (t) => {
  const page = await watched(t);
  const names = ["camera.json", "000000.png", "000001.png", "000002.png"];
  const files = names.map((name) => ({ name, mimeType: "", buffer: Buffer.from(demoFile(name)) }));
  files[1].buffer = files[1].buffer.subarray(0, 3000);
  await page.setInputFiles("#files", files);
  assert.deepEqual(await freshOf(page, 4), [true, false, true, false]);
  await status(page, "Frame 1 is skipped. 000000.png is not depth that this page reads: ");
});

test("no frame of the recording before reaches the stream of the next", { skip }, async (t) => {
  const page = await watched(t);
  await page.evaluate(() => {
    const { read } = ReadableStreamDefaultReader.prototype;
    ReadableStreamDefaultReader.prototype.read = async function () {
      await new Promise((done) => setTimeout(done, 200)); // PNGs take long, so one is being read
      return read.call(this);
    };
  });
  await page.setInputFiles("#files", ["camera.json", "000000.png"].map((name) => `${ROOT}src/cadstn/demo/${name}`));
  await freshOf(page, 1);
  const buffer = Buffer.from(python(`
import sys, numpy as np
camera = np.array('{"fx": 60, "fy": 60, "cx": 32, "cy": 24}')
np.savez(sys.stdout.buffer, depth=np.full((3, 48, 64), 500, np.uint16), camera=camera)`));
  await page.setInputFiles("#files", { name: "small.npz", mimeType: "", buffer });
  await page.waitForFunction(() => globalThis.steps.some(({ width }) => width === 64), null, WAIT);
  await page.waitForTimeout(1500);
  const widths = await page.evaluate(() => globalThis.steps.map(({ width }) => width));
  assert.ok(widths.slice(widths.indexOf(64)).every((width) => width === 64), `${widths}`);
});

test("dropped recordings play, and files that are no depth are named", { skip }, async (t) => {
  const page = await open(t);
  await tracked(page);
  const give = (name, buffer) => page.setInputFiles("#files", { name, mimeType: "", buffer: Buffer.from(buffer) });
  await give("three.npz", shortRecording(3));
  await status(page, "three.npz: 3 frames");
  await page.waitForFunction(() => document.getElementById("frame").textContent.endsWith("of 3"), null, WAIT);
  await give("notes.txt", "no depth");
  await status(page, "notes.txt is not depth that this page reads: it is neither an .npz file nor a PNG.");
  const pngs = [0, 1].map((i) => `${ROOT}src/cadstn/demo/00000${i}.png`);
  await page.setInputFiles("#files", pngs);
  await status(page, "These frames come without a camera");
  await page.fill("#camera", "285,285,160,120");
  await page.press("#camera", "Enter"); // opens the same files again
  await status(page, "2 files: 2 frames");
  await page.setInputFiles("#files", [...pngs, `${ROOT}src/cadstn/demo/camera.json`]);
  await status(page, "3 files: 2 frames");
  // Chromium gives a page no other way to drop files than to make them in it.
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["text"], "dropped.txt"));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
  });
  await status(page, "dropped.txt is not depth");
});

test("without threads it tracks on one, and tells so", { skip }, async (t) => {
  const plain = await serve(false);
  t.after(() => plain.close());
  const page = await open(t, plain.url);
  await tracked(page);
  assert.match(await text(page, "status"), /no threads on this page, so it runs on one thread\.$/);
  assert.equal(await text(page, "backend"), "WASM, 1 thread");
});

test("without SIMD it names what is missing", { skip }, async (t) => {
  const prepare = (page) => page.route("**/worker.js", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: `WebAssembly.validate = () => false;\n${await answer.text()}` });
  });
  const page = await open(t, site.url, { prepare });
  await status(page, "This browser's WebAssembly has no SIMD, which the tracker needs; a newer browser has it.");
});

test("without the graph it tells how to get it", { skip }, async (t) => {
  const prepare = (page) => page.context().route("**/hand.onnx", (route) => route.fulfill({ status: 404 }));
  const page = await open(t, site.url, { prepare, errors: true });
  await status(page, "The tracker's file is not here: 'make web' builds this page with it.");
});

test("opened from the file system it names what it needs", { skip }, async (t) => {
  const page = await open(t, `file://${SITE}/index.html`, { errors: true });
  await status(page, "This page needs a web server: 'make web' starts one.");
});

/** Start `cadstn live --serve`; gives its address once it listens. */
async function live(t, port) {
  const options = { cwd: folder, env: { ...process.env, PYTHONPATH: `${ROOT}src` } };
  const child = spawn(PYTHON, ["-m", "cadstn.cli", "live", "demo", "--loop", "--serve", port], options);
  t.after(() => child.kill("SIGKILL"));
  let printed = "";
  return new Promise((done, fail) => {
    // It is read to the end: a program whose output nobody takes would stop.
    child.stderr.on("data", (part) => {
      printed += part;
      const url = /open (http:\S+)/.exec(printed);
      if (url) done({ child, url: url[1] });
    });
    child.on("exit", () => fail(new Error(printed)));
  });
}

test("live frames are shown, a server that goes is named, and one that comes back is used", { skip }, async (t) => {
  try {
    python("import websockets");
  } catch {
    return t.skip("no websockets (extra serve)");
  }
  const first = await live(t, "0");
  const page = await open(t, first.url, { errors: true });
  await tracked(page);
  assert.match(await text(page, "status"), /^Connected/);
  assert.equal(await text(page, "backend"), "cadstn live");
  const drawn = await page.evaluate(() => {
    const canvas = document.getElementById("depth");
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((v, i) => i % 4 < 3 && v > 100);
  });
  assert.ok(drawn);
  first.child.kill("SIGTERM");
  await once(first.child, "exit");
  await status(page, "'cadstn live' is not there any more; this page goes on when it is started again.");
  await live(t, new URL(first.url).port);
  await status(page, "Connected");
});

test("it fits a narrow window", { skip }, async (t) => {
  const page = await open(t, site.url, { viewport: { width: 360, height: 740 } });
  await tracked(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  if (process.env.CADSTN_WEB_SHOTS) writeFileSync(`${process.env.CADSTN_WEB_SHOTS}/narrow.png`, await page.screenshot({ fullPage: true }));
});
