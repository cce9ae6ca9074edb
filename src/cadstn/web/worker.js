/** Runs the tracker beside the page, so that decoding and drawing go on meanwhile. */

import { Problem } from "./problem.js";
import { Tracker } from "./tracker.js";

let tracker = null;
let last = Promise.resolve(); // calls are answered one after the other: each frame needs the state before

const calls = {
  async load({ graph, library, options }) {
    tracker = await Tracker.load(graph, library, options);
    return tracker.runsOn;
  },
  async step({ frame, fresh }) {
    if (fresh) tracker.reset();
    const start = performance.now();
    const hands = await tracker.step(frame);
    return { hands, tookMs: performance.now() - start };
  },
};

async function answer({ id, name, given }) {
  try {
    self.postMessage({ id, result: await calls[name](given) });
  } catch (error) {
    self.postMessage({ id, failed: error.message, problem: error instanceof Problem });
  }
}

self.addEventListener("message", ({ data }) => (last = last.then(() => answer(data))));
