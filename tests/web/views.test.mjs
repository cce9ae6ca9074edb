/** What the 3D view draws, and the numbers beside it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { DepthView } from "../../src/cadstn/web/depth_view.js";
import { SpaceView } from "../../src/cadstn/web/space_view.js";
import { Stats } from "../../src/cadstn/web/stats.js";

const [COLUMNS, ROWS, Z] = [320, 240, 600];
const CAMERA = { fx: 160, fy: 160, cx: 159.5, cy: 119.5 }; // 90 degrees wide

/** A patch of 170 mm around (x, y, 600) mm: its pixels, and those that are drawn of it. */
function drawn(x, y) {
  const canvas = { getContext: () => null, addEventListener: () => {} };
  const view = new SpaceView(canvas);
  view.center = [x, y, Z];
  view.distances = new Float32Array(400 * 400);
  const depth = new Float32Array(COLUMNS * ROWS);
  let all = 0;
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      const [px, py] = [((column - CAMERA.cx) * Z) / CAMERA.fx, ((row - CAMERA.cy) * Z) / CAMERA.fy];
      if (Math.abs(px - x) > 85 || Math.abs(py - y) > 85) continue;
      depth[row * COLUMNS + column] = Z;
      all++;
    }
  }
  let points = 0;
  view.projection = () => () => {
    points++;
    return [0, 0, 900];
  };
  const frame = { width: COLUMNS, height: ROWS, depth, camera: CAMERA };
  view.points(frame, new Uint32Array(400 * 400), 400, 400);
  return { all, points };
}

for (const [x, y] of [[0, 0], [350, 0], [-350, 0], [500, 0], [-500, 0], [0, 300], [0, -300], [-450, 350]]) {
  test(`a hand at (${x}, ${y}) mm is drawn whole`, () => {
    const { all, points } = drawn(x, y);
    assert.ok(all > 1000);
    assert.equal(points, all);
  });
}

test("right is right and down is down in 3D, by as much as the distance says", () => {
  const view = new SpaceView({ getContext: () => null, addEventListener: () => {} });
  Object.assign(view, { center: [10, 20, 600], turn: 0, tilt: 0 });
  const project = view.projection(400, 300); // 300 * 900 / 320 pixels at 900 mm: 0.9375 a mm
  assert.deepEqual(project(10, 20, 600), [200, 150, 900]);
  assert.deepEqual(project(90, 20, 600), [275, 150, 900]);
  assert.deepEqual(project(10, 100, 600), [200, 225, 900]);
  assert.equal(project(10, 20, 700)[2], 1000);
});

test("the middle time and the rate are of the latest frames", () => {
  const stats = new Stats();
  assert.ok(Number.isNaN(stats.p50) && Number.isNaN(stats.rate));
  for (const [took, end] of [[10, 0], [30, 100], [20, 200]]) stats.add(took, end);
  assert.deepEqual([stats.p50, stats.rate], [20, 10]);
  stats.add(20, 1150); // of the last second only the frames at 200 and 1150
  assert.equal(stats.rate, 1000 / 950);
});

test("joints lie over the pixels that see them, and what is near is brighter", () => {
  const points = [];
  let shown;
  const nothing = () => {};
  const context = {
    drawImage: nothing, beginPath: nothing, fill: nothing, arc: (x, y) => points.push([x, y]),
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: ({ data }) => (shown = data),
  };
  const canvas = { getContext: () => context, style: {}, clientWidth: 640, clientHeight: 480 };
  globalThis.window = { devicePixelRatio: 1 };
  globalThis.document = { createElement: () => ({ getContext: () => context }) };
  const camera = { fx: 200, fy: 100, cx: 160, cy: 120 };
  const depth = new Float32Array(COLUMNS * ROWS).fill(800);
  depth.fill(500, 0, 10 * COLUMNS); // the nearest bin of 8 mm begins at 496
  depth[0] = 0;
  const hands = [{ found: true, joints: [[50, 40, 500]] }, { found: false, joints: [[0, 0, 500]] }];
  const frame = { width: COLUMNS, height: ROWS, depth, camera };
  new DepthView(canvas).draw(frame, hands, { bones: [], colours: [] });
  // At 200 * 50 / 500 + 160 = 180 and 100 * 40 / 500 + 120 = 128; a pixel takes two of the screen's.
  assert.deepEqual(points, [[361, 257]]);
  // 40 + 215 * (496 + 900 - 500) / 900 = 254.04, and 40 + 215 * 596 / 900 = 182.4.
  assert.deepEqual([0, 1, COLUMNS * ROWS - 1].map((i) => [...shown.subarray(4 * i, 4 * i + 4)]),
    [[0, 0, 0, 255], [254, 254, 254, 255], [182, 182, 182, 255]]);
});
