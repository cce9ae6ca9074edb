/** Cameras: their numbers as camera.json holds them, or as text. */

import { Problem } from "./problem.js";

/**
 * @typedef {{fx: number, fy: number, cx: number, cy: number, unitMm: number, fps: number,
 *   invalid: number[]}} Camera pixels; the middle of the first pixel is 0.
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
  const { depth_unit_mm: unitMm = 1, fps = 30, invalid = [] } = held;
  return checked({ fx, fy, cx, cy, unitMm, fps, invalid });
}

/** Read fx,fy,cx,cy[,depth_unit_mm]. @returns {Camera} */
export function cameraOfText(text) {
  const numbers = text.split(",").map((part) => Number(part.trim() || NaN));
  if ((numbers.length !== 4 && numbers.length !== 5) || !numbers.every(Number.isFinite)) {
    throw new Problem(`'${text}' is no camera: ${HINT}.`);
  }
  const [fx, fy, cx, cy, unitMm = 1] = numbers;
  return checked({ fx, fy, cx, cy, unitMm, fps: 30, invalid: [] });
}

function checked(camera) {
  if (!(camera.fx > 0 && camera.fy > 0 && camera.unitMm > 0 && camera.fps > 0)) {
    throw new Problem(`The camera's focal lengths, unit and frame rate must be above 0: ${HINT}.`);
  }
  return camera;
}

/** Raw units to millimetres, 0 where nothing was measured. @returns {Float32Array} */
export function toMm(units, camera) {
  const unit = Math.fround(camera.unitMm);
  const { invalid } = camera;
  const depth = new Float32Array(units.length);
  for (let i = 0; i < units.length; i++) {
    const value = units[i];
    // Not a number, below zero and without end are no distances either.
    const measured = value > 0 && value < Infinity && value !== 65535;
    if (measured && !(invalid.length && invalid.includes(value))) depth[i] = value * unit;
  }
  return depth;
}
