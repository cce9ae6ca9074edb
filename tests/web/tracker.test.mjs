/** What the page hands to the graph and takes from it, with a graph that counts its frames. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Tracker } from "../../src/cadstn/web/tracker.js";

const FRAME = { width: 3, height: 2, depth: new Float32Array(6), camera: { fx: 5, fy: 6, cx: 7, cy: 8 } };

class Tensor {
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
  }
}

/** Two hands of two joints; each frame adds one to the state. */
function counting() {
  const given = [];
  const run = async (feed) => {
    given.push(feed);
    await new Promise((done) => setTimeout(done, 2));
    return {
      joints_mm: new Tensor("float32", Float32Array.from({ length: 12 }, (_, i) => i), [2, 2, 3]),
      error_scale_mm: { data: Float32Array.of(1, 2, 3, 4) },
      found: { data: Uint8Array.of(0, 1) },
      left: { data: Uint8Array.of(1, 0) },
      presence: { data: Float32Array.of(0.25, 0.75) },
      new_state: new Tensor("float32", feed.state.data.map((value) => value + 1), [2, 1]),
    };
  };
  const session = { inputMetadata: [{ name: "depth" }, { name: "state", shape: [2, 1] }], run };
  const ort = { Tensor, env: { wasm: { numThreads: 1 } } };
  return { tracker: new Tracker(ort, session, "wasm"), given };
}

test("each frame begins with the state after the one before, until the hands are forgotten", async () => {
  const { tracker, given } = counting();
  const hands = await tracker.step(FRAME);
  await tracker.step(FRAME);
  tracker.reset();
  await tracker.step(FRAME);
  assert.deepEqual(given.map(({ state }) => [...state.data]), [[0, 0], [1, 1], [0, 0]]);
  assert.deepEqual(given[0].depth.dims, [2, 3]);
  assert.deepEqual([...given[0].intrinsics.data], [5, 6, 7, 8]);
  assert.deepEqual(hands, [
    { found: false, joints: [[0, 1, 2], [3, 4, 5]], presence: 0.25, side: "left", errorScaleMm: [1, 2] },
    { found: true, joints: [[6, 7, 8], [9, 10, 11]], presence: 0.75, side: "right", errorScaleMm: [3, 4] },
  ]);
});

test("the worker tracks one frame after the other, and forgets the hands before a fresh one", async () => {
  const { tracker, given } = counting();
  const answers = [];
  let hear;
  Tracker.load = async () => tracker;
  globalThis.self = { postMessage: (answer) => answers.push(answer), addEventListener: (_, on) => (hear = on) };
  await import("../../src/cadstn/web/worker.js");
  hear({ data: { id: 0, name: "load", given: {} } });
  [true, false, true, false].forEach((fresh, i) =>
    hear({ data: { id: i + 1, name: "step", given: { frame: FRAME, fresh } } }));
  for (let i = 0; i < 500 && answers.length < 5; i++) await new Promise((done) => setTimeout(done, 2));
  assert.deepEqual(answers.map(({ id, failed }) => [id, failed]), [0, 1, 2, 3, 4].map((id) => [id, undefined]));
  assert.deepEqual(given.map(({ state }) => state.data[0]), [0, 1, 0, 1]);
});
