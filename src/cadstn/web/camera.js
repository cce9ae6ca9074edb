/** Cameras: their numbers as camera.json holds them, or as text. */

import { Problem } from "./problem.js";

/**
 * @typedef {{fx: number, fy: number, cx: number, cy: number, width: number, height: number,
 *   unitMm: number, fps: number, invalid: number[]}} Camera pixels; the middle of the first pixel
 *   is 0. A width or height of 0 is that of the frames.
 */

const HINT = "give its numbers as fx,fy,cx,cy or fx,fy,cx,cy,depth_unit_mm";

/** Read a camera.json. @returns {Camera} */
export function cameraOfJson(text) {
  let held;
  try {
    held = JSON.parse(text);
  } catch {
    throw new Problem("The camera.json is no JSON.");
  }
  const numbers = ["fx", "fy", "cx", "cy"].map((name) => held?.[name]);
  if (!numbers.every(Number.isFinite)) throw new Problem("The camera.json lacks fx, fy, cx or cy.");
  if ((held.encoding ?? "depth16") !== "depth16" || held.distortion?.length) {
    throw new Problem(
      "This page reads 16-bit depth of a pinhole camera; 'cadstn track' reads the others.",
    );
  }
  const [fx, fy, cx, cy] = numbers;
  const { width = 0, height = 0, depth_unit_mm: unitMm = 1, fps = 30, invalid = [] } = held;
  return checked({ fx, fy, cx, cy, width, height, unitMm, fps, invalid });
}

/** Read fx,fy,cx,cy[,depth_unit_mm]. @returns {Camera} */
export function cameraOfText(text) {
  const numbers = text.split(",").map((part) => Number(part.trim() || NaN));
  if ((numbers.length !== 4 && numbers.length !== 5) || !numbers.every(Number.isFinite)) {
    throw new Problem(`'${text}' is no camera: ${HINT}.`);
  }
  const [fx, fy, cx, cy, unitMm = 1] = numbers;
  return checked({ fx, fy, cx, cy, width: 0, height: 0, unitMm, fps: 30, invalid: [] });
}

function checked(camera) {
  if (!(camera.fx > 0 && camera.fy > 0 && camera.unitMm > 0 && camera.fps > 0)) {
    throw new Problem(`The camera's focal lengths, unit and frame rate must be above 0: ${HINT}.`);
  }
  if (![camera.width, camera.height].every((size) => Number.isInteger(size) && size >= 0)) {
    throw new Problem("The camera's width and height must be whole numbers of pixels.");
  }
  return camera;
}

/** Refuse a frame of another size than the camera's: of a resized image its numbers are others. */
export function checkSize(name, { width, height }, camera) {
  if ((camera.width || width) === width && (camera.height || height) === height) return;
  throw new Problem(
    `${name}: frame is ${width}x${height} where the camera is ${camera.width}x${camera.height}; ` +
      "give the camera that took these frames.",
  );
}

/** Depths that all are smaller are metres. */
const MOST_METRES = 20;

/**
 * Raw values to millimetres, 0 where nothing was measured: whole numbers are steps of the camera's
 * unit, floats in typed arrays are millimetres, as in Python; metres are refused.
 * @returns {Float32Array}
 */
export function toMm(units, camera) {
  const floats = units instanceof Float32Array || units instanceof Float64Array;
  const unit = floats ? 1 : Math.fround(camera.unitMm);
  const none = floats ? NaN : 65535; // what a saturated sensor of 16 bits writes
  const { invalid } = camera;
  const depth = new Float32Array(units.length);
  let most = 0;
  for (let i = 0; i < units.length; i++) {
    const value = units[i];
    const mm = Math.fround(value * unit);
    // Not a number, below zero and without end are no distances either.
    const measured = mm > 0 && mm < Infinity && value !== none;
    if (measured && !(invalid.length && invalid.includes(value))) {
      depth[i] = mm;
      most = Math.max(most, mm);
    }
  }
  if (floats && most > 0 && most < MOST_METRES) {
    throw new Problem(`The largest depth is ${most.toPrecision(3)} mm: metres? Give millimetres.`);
  }
  return depth;
}
