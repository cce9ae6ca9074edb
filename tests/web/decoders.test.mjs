/** The page's decoders agree with numpy and OpenCV, and refuse what is no depth in one sentence. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { cameraOfJson, cameraOfText, toMm } from "../../src/cadstn/web/camera.js";
import { unpack } from "../../src/cadstn/web/live.js";
import { readNpy } from "../../src/cadstn/web/npy.js";
import { decodePng } from "../../src/cadstn/web/png.js";
import { firstFrame, openFiles } from "../../src/cadstn/web/recording.js";
import { members } from "../../src/cadstn/web/zip.js";
import { demoFile, pngOf, python, ROOT } from "./helpers.mjs";

const CAMERA = cameraOfText("285,285,160,120");
const text = (value) => new TextEncoder().encode(value);

test("a PNG of the packaged recording is what OpenCV reads", async () => {
  const raw = python(
    "import cv2, sys; sys.stdout.buffer.write(cv2.imread(sys.argv[1], -1).tobytes())",
    `${ROOT}src/cadstn/demo/000075.png`,
  );
  const { width, height, units } = await decodePng(demoFile("000075.png"));
  assert.deepEqual([width, height], [320, 240]);
  assert.deepEqual(Buffer.from(units.buffer), raw);
});

test("every filter of PNG is undone", async () => {
  const [width, height] = [9, 10];
  const value = (row, column) => (row * 7919 + column * column * 523 + 77) & 0xffff;
  const bytes = (row) =>
    Array.from({ length: width }, (_, column) => [value(row, column) >> 8, value(row, column) & 255]).flat();
  const rows = [];
  for (let row = 0; row < height; row++) {
    const [own, up] = [bytes(row), row ? bytes(row - 1) : new Array(2 * width).fill(0)];
    rows.push(row % 5);
    own.forEach((byte, i) => {
      const [a, b, c] = [i < 2 ? 0 : own[i - 2], up[i], i < 2 ? 0 : up[i - 2]];
      // The specification's words: of the three the nearest to a + b - c, in this order.
      const nearest = [a, b, c].reduce((best, one) =>
        Math.abs(one - (a + b - c)) < Math.abs(best - (a + b - c)) ? one : best);
      rows.push((byte - [0, a, b, Math.floor((a + b) / 2), nearest][row % 5]) & 255);
    });
  }
  const { units } = await decodePng(pngOf(width, height, rows, { parts: 3 }));
  units.forEach((unit, i) => assert.equal(unit, value(Math.floor(i / width), i % width)));
});

test("a picture, a cut-off PNG and a damaged one are refused", async () => {
  const whole = demoFile("000000.png");
  await assert.rejects(decodePng(pngOf(2, 1, [0, 1, 2], { bits: 8 })), /one channel of 16 bits/);
  await assert.rejects(decodePng(pngOf(1, 1, [0, 1, 2, 3], { bits: 8, colour: 2 })), /a picture/);
  await assert.rejects(decodePng(pngOf(1, 2, [0, 1, 2])), /cut off/);
  await assert.rejects(decodePng(pngOf(1, 1, [0, 1, 2, 0, 1, 2])), /more than its header/);
  await assert.rejects(decodePng(pngOf(1, 1, [5, 1, 2])), /damaged/);
  await assert.rejects(decodePng(pngOf(70000, 70000, [0])), /70000 x 70000/);
  await assert.rejects(decodePng(whole.subarray(0, 3000)), /without pixels/);
  await assert.rejects(decodePng(text("no PNG at all")), /no PNG/);
  const damaged = whole.slice();
  damaged.fill(0x55, 200, 4000);
  await assert.rejects(decodePng(damaged), /damaged|cut off|more than/);
});

for (const saved of ["savez", "savez_compressed"]) {
  test(`an .npz file of numpy.${saved} is read`, async () => {
    const code = `
import io, sys, numpy as np
depth = (np.arange(3 * 4 * 5) * 997 % 65536).astype(np.uint16).reshape(3, 4, 5)
camera = np.array('{"fx": 285.0, "fy": 280.5, "cx": 2, "cy": 1.5, "depth_unit_mm": 0.125, "fps": 60}')
np.${saved}(sys.stdout.buffer, depth=depth, camera=camera, other=np.ones(3))`;
    const bytes = new Uint8Array(python(code));
    const recording = await openFiles([{ name: "a.npz", bytes }]);
    assert.equal(recording.length, 3);
    const { fx, fy, cx, cy, unitMm, fps } = recording.camera;
    assert.deepEqual([fx, fy, cx, cy, unitMm, fps], [285, 280.5, 2, 1.5, 0.125, 60]);
    const { width, height, depth } = await recording.frame(2);
    assert.deepEqual([width, height], [5, 4]);
    depth.forEach((mm, i) => assert.equal(mm, (((40 + i) * 997) % 65536) * 0.125));
  });
}

test("arrays of other kinds are read as numbers, and what has no numbers is refused", async () => {
  const array = (code) =>
    readNpy(new Uint8Array(python(`import sys, io, numpy as np
file = io.BytesIO(); np.save(file, ${code}); sys.stdout.buffer.write(file.getvalue())`)));
  assert.deepEqual([...array("np.float64([[1.5, -2]])").data], [1.5, -2]);
  assert.deepEqual(array("np.zeros((2, 3, 1), np.int32)").shape, [2, 3, 1]);
  assert.deepEqual([...array("np.array([7, -1])").data], [7, -1]);
  assert.throws(() => array("np.array([1 << 40])"), /more than 32 bits/);
  assert.deepEqual(array("np.array(['häl', 'lo😀'])").data, ["häl", "lo😀"]);
  assert.throws(() => array("np.asfortranarray(np.ones((2, 3)))"), /Fortran/);
  assert.throws(() => array("np.ones(2, '>f4')"), /big-endian/);
  assert.throws(() => array("np.array([None])"), /unknown kind|kind O/);
  assert.throws(() => readNpy(text("nothing")), /no .npy/);
});

test("a damaged archive is refused", async () => {
  const bytes = new Uint8Array(
    python("import sys, numpy as np; np.savez_compressed(sys.stdout.buffer, depth=np.ones((2, 3, 4)))"),
  );
  assert.throws(() => members(bytes.subarray(0, 100)), /cut off/);
  const damaged = bytes.slice();
  damaged.fill(0x55, 60, 120);
  await assert.rejects(openFiles([{ name: "b.npz", bytes: damaged }], CAMERA), /b\.npz is not depth/);
});

test("an archive of more members than its count holds is refused", () => {
  const bytes = new Uint8Array(python(`
import sys, io, zipfile
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    for name in "abc": archive.writestr(name, name)
sys.stdout.buffer.write(packed.getvalue())`));
  assert.deepEqual([...members(bytes).keys()], ["a", "b", "c"]);
  const withCount = (count) => {
    const changed = bytes.slice();
    new DataView(changed.buffer).setUint16(changed.length - 12, count, true);
    return changed;
  };
  assert.throws(() => members(withCount(2)), /more members than it counts/); // as 65,538 leave it
  assert.throws(() => members(withCount(0xffff)), /too large/);
  assert.throws(() => members(withCount(4)), /damaged/);
});

test("frames that cannot be read leave the others, and the page begins with the first that can", async () => {
  const json = { name: "camera.json", bytes: text('{"fx": 1, "fy": 1, "cx": 0, "cy": 0}') };
  const png = (name, rows) => ({ name, bytes: pngOf(1, 1, rows) });
  const recording = await openFiles([png("0.png", [5, 1, 2]), png("1.png", [0, 0, 9]), json]);
  await assert.rejects(recording.frame(0), /0\.png is not depth .* damaged/);
  assert.equal((await firstFrame(recording)).depth[0], 9);
});

test("PNGs come in the order of their numbers, with the camera.json beside them", async () => {
  const unit = (value) => pngOf(1, 1, [0, 0, value]);
  const files = [10, 9, 2].map((value) => ({ name: `frame-${value}.png`, bytes: unit(value) }));
  const json = { name: "camera.json", bytes: text('{"fx": 1, "fy": 1, "cx": 0, "cy": 0}') };
  const recording = await openFiles([...files, json]);
  const seen = [];
  for (let i = 0; i < recording.length; i++) seen.push((await recording.frame(i)).depth[0]);
  assert.deepEqual(seen, [2, 9, 10]);
});

test("what is no depth is named in one sentence", async () => {
  const open = async (name, bytes, camera = CAMERA) => firstFrame(await openFiles([{ name, bytes }], camera));
  await assert.rejects(open("notes.txt", text("hello")), /^Error: notes\.txt is not depth .*\.$/);
  await assert.rejects(open("photo.png", pngOf(1, 1, [0, 1], { bits: 8 })), /photo\.png .* picture/);
  await assert.rejects(openFiles([], CAMERA), /No file holds depth/);
  await assert.rejects(open("0.png", demoFile("000000.png"), null), /without a camera/);
  const joints = new Uint8Array(
    python("import sys, numpy as np; np.savez(sys.stdout.buffer, a=np.ones(3), b=np.ones(3))"),
  );
  await assert.rejects(open("joints.npz", joints), /lacks the array 'depth'/);
});

/** A zip of a folder by its files' names, as the page reads it, beside what Python reads there. */
async function both(files) {
  const [bytes, about] = python(`
import base64, io, json, sys, tempfile, zipfile
from pathlib import Path
import numpy as np
from cadstn import open_recording
def npz(cuts):
    file = io.BytesIO(); np.savez(file, cuts=np.array(cuts)); return file.getvalue()
def png(value):
    import cv2
    units = np.full((3, 4), value, np.uint16)
    return cv2.imencode(".png", units if value else np.zeros((3, 4, 3), np.uint8))[1].tobytes()
packed = io.BytesIO()
with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w") as archive:
    for name, held in json.loads(sys.argv[1]).items():
        data = npz(held) if name.endswith(".npz") else png(held) if type(held) is int else held.encode()
        (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_bytes(data)
        archive.writestr(name, data)
    recording = open_recording(folder)
    depth = [int(frame.depth[0, 0]) for frame in recording]
    about = {"depth": depth, "cuts": recording.cuts}
sys.stdout.write(base64.b64encode(packed.getvalue()).decode() + " " + json.dumps(about))`,
    JSON.stringify(files)).toString().split(/ (.*)/s);
  const recording = await openFiles([{ name: "a.zip", bytes: new Uint8Array(Buffer.from(bytes, "base64")) }]);
  const depth = [];
  for (let i = 0; i < recording.length; i++) depth.push((await recording.frame(i)).depth[0]);
  const cuts = [...recording.cuts].filter((cut) => cut > 0).sort((a, b) => a - b);
  return [{ depth, cuts }, JSON.parse(about)];
}

const JSON_CAMERA = '{"fx": 285, "fy": 285, "cx": 2, "cy": 1}';
for (const [title, files] of Object.entries({
  "colour beside depth": { "camera.json": JSON_CAMERA, "depth_10.png": 510, "depth_9.png": 509, "color_9.png": 0 },
  "folders of depth and of colour": {
    "camera.json": JSON_CAMERA, "depth/1.png": 501, "depth/2.png": 502, "rgb/1.png": 0, "rgb/2.png": 0,
  },
  "infrared and the like beside depth, of 16 bits as well": {
    "camera.json": JSON_CAMERA, "depth_1.png": 501, "depth_2.png": 502, "ir_1.png": 601, "left-ir.png": 602,
    "infrared_1.png": 603, "confidence_1.png": 604, "normals_1.png": 605, "segments_1.png": 606, "label_1.png": 607,
  },
  "names that only hold the letters of infrared": {
    "camera.json": JSON_CAMERA, "depth_1.png": 501, "first_1.png": 502,
  },
  "what systems hide": {
    "camera.json": JSON_CAMERA, "1.PNG": 501, "._1.png": "Mac OS X", ".thumbs/1.png": 0, "more/1.png": 0,
    "truth.npz": [0],
  },
  "shots, with cuts of their own": {
    "camera.json": JSON_CAMERA, "shot10/1.png": 521, "shot9/1.png": 511, "shot9/2.png": 512, "shot9/3.png": 513,
    "shot9/truth.npz": [1], "shot10/truth.npz": [0], "shot9/more/1.png": 0,
  },
  "cuts of all frames, and a camera in each shot": {
    "a/camera.json": JSON_CAMERA, "b/camera.json": JSON_CAMERA, "a/1.png": 501, "a/2.png": 502, "b/1.png": 511,
    "b/2.png": 512, "truth.npz": [3],
  },
})) {
  test(`the frames and cuts of a zip are Python's: ${title}`, async () => {
    const [page, expected] = await both(files);
    assert.deepEqual(page, expected);
  });
}

test("the shots of a zip must be of one camera, and macOS's own folder is left out", async () => {
  const zip = (code) => [{ name: "a.zip", bytes: new Uint8Array(python(`
import io, sys, zipfile
packed = io.BytesIO()
png, camera = open(sys.argv[1], "rb").read(), '{"fx": %d, "fy": 9, "cx": 1, "cy": 1}'
with zipfile.ZipFile(packed, "w") as archive:
    ${code}
sys.stdout.buffer.write(packed.getvalue())`, `${ROOT}src/cadstn/demo/000000.png`)) }];
  await assert.rejects(openFiles(zip(`
    for shot in (1, 2):
        archive.writestr(f"{shot}/0.png", png)
        archive.writestr(f"{shot}/camera.json", camera % shot)`)), /1\/camera\.json and 2\/camera\.json differ/);
  const packed = await openFiles(zip(`
    archive.writestr("rec/0.png", png)
    archive.writestr("rec/camera.json", camera % 7)
    archive.writestr("__MACOSX/rec/._0.png", b"Mac OS X")
    archive.writestr("__MACOSX/rec/._camera.json", b"Mac OS X")`));
  assert.deepEqual([packed.length, packed.camera.fx], [1, 7]);
});

test("files that are dropped together are one recording", async () => {
  const npz = (arrays) => new Uint8Array(python(`
import sys, numpy as np
camera = np.array('{"fx": 5, "fy": 5, "cx": 2, "cy": 0}')
np.savez(sys.stdout.buffer, ${arrays})`));
  const depth = "np.full((3, 1, 2), 500, np.uint16)";
  const json = { name: "camera.json", bytes: text('{"fx": 7, "fy": 7, "cx": 0, "cy": 0}') };
  const png = (name) => ({ name, bytes: pngOf(1, 1, [0, 1, 1]) });
  const one = { name: "one.npz", bytes: npz(`frames=${depth}, cuts=np.array([2]), joints_xyz_mm=np.ones((3, 21, 3))`) };
  for (const files of [[one, json], [json, one]]) {
    const recording = await openFiles(files);
    assert.deepEqual([recording.length, recording.camera.fx, [...recording.cuts]], [3, 7, [2]]);
  }
  const own = { name: "own.npz", bytes: npz(`depth=${depth}, camera=camera`) };
  assert.equal((await openFiles([own], CAMERA)).camera.fx, 5);
  assert.equal((await openFiles([own, json])).camera.fx, 7);
  await assert.rejects(openFiles([own, one]), /several recordings/);
  await assert.rejects(openFiles([own, png("0.png"), json]), /several recordings/);
  await assert.rejects(openFiles([png("0.png"), json, json]), /several \.json/);
  const truth = { name: "truth.npz", bytes: npz("joints_xyz_mm=np.ones((2, 21, 3)), cuts=np.array([1])") };
  const labelled = await openFiles([png("0.png"), png("1.png"), truth, json, { name: ".DS_Store", bytes: text("x") }]);
  assert.deepEqual([labelled.length, labelled.cuts.has(1)], [2, true]);
  await assert.rejects(openFiles([truth], CAMERA), /truth\.npz .* lacks the array 'depth'/);
});

test("floats in a file are millimetres whatever the camera's unit, as in Python", async () => {
  const bytes = new Uint8Array(python(`
import sys, numpy as np
camera = '{"fx": 9, "fy": 9, "cx": 2, "cy": 0, "depth_unit_mm": 0.25, "invalid": [7]}'
depth = np.array([[[500.5, 7, np.nan, np.inf, -1, 65535, 1e39]]])
np.savez(sys.stdout.buffer, depth=depth, camera=np.array(camera))`));
  const { depth } = await (await openFiles([{ name: "a.npz", bytes }])).frame(0);
  assert.deepEqual([...depth], [500.5, 0, 0, 0, 0, 65535, 0]);
});

test("frames of another size than the camera's are refused", async () => {
  const json = (size) => ({ name: "camera.json", bytes: text(`{"fx": 9, "fy": 9, "cx": 1, "cy": 1, ${size}}`) });
  const png = { name: "0.png", bytes: pngOf(2, 1, [0, 0, 1, 0, 1]) };
  assert.equal((await openFiles([png, json('"width": 2, "height": 0')])).length, 1);
  const doubled = await openFiles([png, json('"width": 4, "height": 2')]);
  await assert.rejects(
    firstFrame(doubled),
    /^Error: 0\.png: frame is 2x1 where the camera is 4x2; give the camera that took these frames\.$/,
  );
  const bytes = new Uint8Array(python(`
import sys, numpy as np
camera = '{"fx": 9, "fy": 9, "cx": 2, "cy": 0, "width": 8, "height": 6}'
np.savez(sys.stdout.buffer, depth=np.ones((2, 3, 4), np.uint16), camera=np.array(camera))`));
  const halved = await openFiles([{ name: "half.npz", bytes }]);
  await assert.rejects(halved.frame(0), /half\.npz: frame is 4x3 where the camera is 8x6/);
});

test("a frame of cadstn live is taken apart", () => {
  const camera = { fx: 5, fy: 6, cx: 7, cy: 8 };
  const hand = { found: true, side: "right", present: 0.5, joints_mm: [[1, 2, 3]] };
  let json = JSON.stringify({ frame: 7, width: 3, height: 2, camera, took_ms: 3, hands: [hand] });
  if (json.length % 2 === 0) json += " "; // depth at an odd place
  const steps = [0, 1, 255, 256, 600, 65535];
  const message = new Uint8Array(4 + json.length + 12);
  const view = new DataView(message.buffer);
  view.setUint32(0, json.length, true);
  message.set(text(json), 4);
  steps.forEach((mm, i) => view.setUint16(4 + json.length + 2 * i, mm, true));
  const [frame, hands, about] = unpack(message.buffer);
  assert.deepEqual([frame.width, frame.height, frame.camera, about.took_ms], [3, 2, camera, 3]);
  assert.deepEqual([...frame.depth], steps);
  const [{ found, side, presence, joints }] = hands;
  assert.deepEqual([found, side, presence, joints], [true, "right", 0.5, [[1, 2, 3]]]);
});

test("cameras", () => {
  assert.equal(cameraOfText("475, 475, 320,240,0.125").unitMm, 0.125);
  assert.throws(() => cameraOfText("475,475,320"), /fx,fy,cx,cy/);
  assert.throws(() => cameraOfText("0,475,320,240"), /above 0/);
  assert.throws(() => cameraOfJson("{"), /no JSON/);
  assert.throws(() => cameraOfJson('{"fx": 1}'), /lacks/);
  assert.throws(() => cameraOfJson('{"fx":1,"fy":1,"cx":0,"cy":0,"distortion":[0.1]}'), /pinhole/);
  const camera = { ...CAMERA, unitMm: 0.5, invalid: [7] };
  assert.deepEqual([...toMm(Int32Array.of(0, 2, 7, 65535), camera)], [0, 1, 0, 0]);
  for (const step of [-1, 65536]) {
    assert.throws(() => toMm(Int32Array.of(500, step), camera), new RegExp(`a step of ${step}, where`));
  }
  for (const Kind of [Uint8Array, Int8Array]) assert.throws(() => toMm(Kind.of(1, 2), camera), /8 bits: a picture/);
  assert.throws(() => toMm(new Float32Array([0, 0.6, 2.5]), camera), /is 2\.50 mm: metres\?/);
});

test("what a camera.json of Python's must not hold is refused here as well", () => {
  const fields = [
    "unit_mm: 0.125", "__proto__: 1", "invalid: 7", "invalid: [1.5]", 'invalid: "7"', "distortion: 0.1",
    'distortion: "none"', "encoding: 16", "width: 2.5", "width: -1", "height: 70000", 'fps: "30"', "fps: true",
    "fps: 0", "fx: null", "fx: 1e7", "cx: 1e6", "depth_unit_mm: 0.001", "depth_unit_mm: 5000", "depth_unit_mm: 0",
    "distortion_model: 4",
  ];
  const jsons = ["[285]", "285", "null", ...fields.map((field) => {
    const [name, value] = field.split(/: /);
    const others = Object.entries({ fx: 9, fy: 9, cx: 1, cy: 1 }).filter(([other]) => other !== name);
    return `{${[...others.map(([other, number]) => `"${other}": ${number}`), `"${name}": ${value}`].join(", ")}}`;
  })];
  const code = `
import json, sys
from cadstn import Camera, CadstnError
def taken(text):
    try: return bool(Camera.from_json(text))
    except CadstnError: return False
print(json.dumps([text for text in json.loads(sys.argv[1]) if taken(text)]))`;
  assert.deepEqual(JSON.parse(python(code, JSON.stringify(jsons))), []);
  for (const json of jsons) assert.throws(() => cameraOfJson(json), /^Error: The camera[^\n]*\.$/, json);
  assert.throws(() => cameraOfJson(jsons[3]), /unknown field 'unit_mm'; known are fx, .*depth_unit_mm/);
  assert.throws(() => cameraOfText("9,9,1,1,1000"), /depth_unit_mm is 1000: .* from 0\.01 to 10/);
});

test("the page asks for all its modules at once, and names the fields of a camera", () => {
  const folder = `${ROOT}src/cadstn/web/`;
  const html = readFileSync(`${folder}index.html`, "utf8");
  const modules = readdirSync(folder).filter((name) => /\.js$/.test(name) && !/^(main|worker|from_disk)/.test(name));
  assert.deepEqual([...html.matchAll(/modulepreload" href="(.*)"/g)].map(([, name]) => name), modules.sort());
  const [, fields] = /placeholder="(.*?)"/.exec(html);
  assert.equal(cameraOfJson(`{${fields.split(",").map((name) => `"${name}": 1`)}}`).unitMm, 1);
});
