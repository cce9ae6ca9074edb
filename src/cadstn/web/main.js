/** The page: a recording that is tracked here, or frames that `cadstn live --serve` sends. */

import { cameraOfText } from "./camera.js";
import { DepthView } from "./depth_view.js";
import { follow } from "./live.js";
import { Problem } from "./problem.js";
import { firstFrame, openFiles } from "./recording.js";
import { RemoteTracker } from "./remote.js";
import { HAND21 } from "./skeleton.js";
import { SpaceView } from "./space_view.js";
import { Stats } from "./stats.js";
import { lacks } from "./tracker.js";

/** Frames that are given to the worker at once: it has one to track while others are decoded and drawn. */
const AHEAD = 4;

const element = (id) => document.getElementById(id);
const views = [new DepthView(element("depth")), new SpaceView(element("space"))];
const stats = new Stats();
const options = new URLSearchParams(location.search);
let skeleton = HAND21;
let next = null; // what is to be shown
let opened = 0; // counts what was opened: what loads longer than a later one is dropped
let playing = 0; // which of them plays: the loop of an older one ends

function report(line, problem = false) {
  element("status").textContent = line;
  element("status").classList.toggle("problem", problem);
}

function reportError(error) {
  if (!(error instanceof Problem)) console.error(error);
  report(error instanceof Problem ? error.message : `It failed: ${error.message}`, true);
}

function draw(frame, hands) {
  for (const view of views) view.draw(frame, hands, skeleton);
}

/** Show a frame when the screen is next drawn; of several until then the last one. */
function show(...shown) {
  stats.add(shown[2], performance.now());
  if (!next) requestAnimationFrame(() => showNow(...next));
  next = shown;
}

function showNow(frame, hands, _, place) {
  next = null;
  draw(frame, hands);
  const found = hands.filter((hand) => hand.found);
  element("took").textContent = `${stats.p50.toFixed(1)} ms`;
  element("rate").textContent = Number.isNaN(stats.rate) ? "–" : stats.rate.toFixed(0);
  element("hand").textContent = found.map(describe).join("; ") || "none";
  element("frame").textContent = place;
}

function describe({ side, joints, presence }) {
  const far = joints.reduce((sum, [, , z]) => sum + z, 0) / joints.length / 1000;
  const sure = Number.isFinite(presence) ? `, presence ${presence.toFixed(2)}` : "";
  return `${side}, ${far.toFixed(2)} m${sure}`;
}

const nextTask = () => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => done(port1.close());
  port2.postMessage(0);
});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Track a recording, `mine` among those that were opened, again and again, until another one plays.
 * Frames that cannot be read are reported and skipped; one can be, see `firstFrame`.
 */
async function play(recording, tracker, mine) {
  playing = mine;
  const { camera, cuts, length } = recording;
  stats.clear();
  let due = performance.now();
  let fresh = true;
  const begin = async (index) => {
    const place = index % length;
    fresh ||= place === 0 || cuts.has(place); // until a frame of the shot can be read
    let read;
    try {
      read = await recording.frame(place);
    } catch (error) {
      if (error instanceof Problem) return { skipped: error };
      throw error;
    }
    if (mine !== playing) return null; // the other one's stream has begun
    const frame = { ...read, camera };
    const tracked = tracker.step(frame, fresh);
    fresh = false;
    return { frame, tracked };
  };
  const ahead = [];
  for (let index = 0; ; index++) {
    while (ahead.length < AHEAD) ahead.push(await begin(index + ahead.length));
    if (mine !== playing) return;
    const { frame, tracked, skipped } = ahead.shift();
    if (skipped) {
      report(`Frame ${(index % length) + 1} is skipped. ${skipped.message}`, true);
      continue;
    }
    const { hands, tookMs } = await tracked;
    due = Math.max(due + 1000 / camera.fps, performance.now());
    if (element("fast").checked) await nextTask();
    else await pause(due - performance.now());
    while (element("pause").dataset.paused && mine === playing) await pause(50);
    if (mine !== playing) return;
    show(frame, hands, tookMs, `${(index % length) + 1} of ${length}`);
  }
}

/** Open files and play them as soon as the tracker is there, unless others are opened meanwhile. */
async function open(files, tracker, loaded, title = null) {
  const mine = ++opened;
  try {
    const text = element("camera").value.trim();
    const read = [...files].map(async (file) => ({
      name: file.name,
      bytes: new Uint8Array(await file.arrayBuffer()),
    }));
    const recording = await openFiles(await Promise.all(read), text ? cameraOfText(text) : null);
    const first = await firstFrame(recording);
    if (mine !== opened) return;
    draw({ ...first, camera: recording.camera }, []);
    element("backend").textContent = await loaded;
    if (mine !== opened) return;
    const name = title ?? (files.length === 1 ? files[0].name : `${files.length} files`);
    report(`${name}: ${recording.length} frames. ${lacks()}`);
    await play(recording, tracker, mine);
  } catch (error) {
    if (mine === opened || mine === playing) reportError(error);
  }
}

function listenForFiles(tracker, loaded) {
  let last = [];
  const take = (files) => {
    last = [...files];
    if (last.length) open(last, tracker, loaded);
  };
  element("files").addEventListener("change", ({ target }) => {
    take(target.files);
    target.value = ""; // so that the same file can be chosen again
  });
  element("camera").addEventListener("change", () => take(last));
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

async function trackHere() {
  element("fast").checked = options.has("fast");
  element("pause").addEventListener("click", ({ target }) => {
    const paused = !target.dataset.paused;
    target.dataset.paused = paused ? "yes" : "";
    target.textContent = paused ? "Play" : "Pause";
  });
  const tracker = new RemoteTracker();
  const here = (name) => new URL(name, location.href).href;
  const threads = Number(options.get("threads")) || undefined;
  const loaded = tracker.load(here("hand.onnx"), here("ort/"), {
    gpu: options.has("webgpu"), threads, optimised: true,
  });
  loaded.catch(() => {}); // it is reported where files are opened
  listenForFiles(tracker, loaded);
  // It is fetched as it is opened: files that come meanwhile are opened after it, and play.
  const demo = { name: "demo.zip", arrayBuffer: async () => (await fetch("demo.zip")).arrayBuffer() };
  await open([demo], tracker, loaded, "The packaged recording");
}

function showLive() {
  element("about").textContent = "Hands from depth, as 'cadstn live' tracks them.";
  element("controls").remove();
  element("backend").textContent = "cadstn live";
  report("Connecting…");
  let there = false;
  follow(`ws://${location.host}/frames`, {
    skeleton: (sent) => { skeleton = sent; },
    frame: (frame, hands, about) => {
      if (!there) report("Connected: frames come as they are tracked.");
      there = true;
      show(frame, hands, about.took_ms, `${about.frame}`);
    },
    away: () => {
      there = false;
      stats.clear();
      report("'cadstn live' is not there any more; this page goes on when it is started again.", true);
    },
  });
}

if (options.has("live")) showLive();
else trackHere().catch(reportError);
