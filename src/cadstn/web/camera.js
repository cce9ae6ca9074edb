/** Cameras: their numbers as camera.json holds them, or as text. */

import { Problem } from "./problem.js";

/**
 * @typedef {{fx: number, fy: number, cx: number, cy: number, width: number, height: number,
 *   unitMm: number, fps: number, invalid: number[]}} Camera pixels; the middle of the first pixel
 *   is 0. A width or height of 0 is that of the frames.
 */

const HINT = "give its numbers as fx,fy,cx,cy or fx,fy,cx,cy,depth_unit_mm";
const [LARGEST, LONGEST] = [1e6, 65_536]; // as in Python's Camera
const [FINEST_MM, COARSEST_MM] = [0.01, 10]; // what lies outside is a unit of another kind

const isText = (value) => typeof value === "string";
const listOf = (isGood) => (value) => Array.isArray(value) && value.every(isGood);
/** The fields of a camera.json, and what each may hold, as in Python. */
const FIELDS = {
  fx: Number.isFinite, fy: Number.isFinite, cx: Number.isFinite, cy: Number.isFinite,
  width: Number.isInteger, height: Number.isInteger, depth_unit_mm: Number.isFinite,
  fps: Number.isFinite, encoding: isText, invalid: listOf(Number.isInteger),
  distortion: listOf(Number.isFinite), distortion_model: isText,
};

/** Read a camera.json. @returns {Camera} */
export function cameraOfJson(text) {
  let held;
  try {
    held = JSON.parse(text);
  } catch {
    throw new Problem("The camera.json is no JSON.");
  }
  if (typeof held !== "object" || !held || Array.isArray(held)) throw new Problem("The camera.json is no JSON object.");
  for (const [name, value] of Object.entries(held)) {
    if (!Object.hasOwn(FIELDS, name)) {
      const known = Object.keys(FIELDS).join(", ");
      throw new Problem(`The camera.json has an unknown field '${name}'; known are ${known}.`);
    }
    if (!FIELDS[name](value)) {
      throw new Problem(`The camera.json's field '${name}' is ${JSON.stringify(value).slice(0, 40)}.`);
    }
  }
  const numbers = ["fx", "fy", "cx", "cy"].map((name) => held[name]);
  if (numbers.includes(undefined)) throw new Problem("The camera.json lacks fx, fy, cx or cy.");
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
  const { fx, fy, cx, cy, width, height, unitMm, fps } = camera;
  if (![fx, fy, fps].every((value) => value > 1 / LARGEST && value < LARGEST)) {
    throw new Problem(`The camera's focal lengths and frame rate must be above 0 and below ${LARGEST}: ${HINT}.`);
  }
  if (![cx, cy].every((value) => Math.abs(value) < LARGEST)) {
    throw new Problem(`The camera's centre is (${cx}, ${cy}): give cx and cy in pixels.`);
  }
  if (![width, height].every((size) => size >= 0 && size <= LONGEST)) {
    throw new Problem(`The camera's size is ${width}x${height}: give its width and height in pixels.`);
  }
  if (!(unitMm >= FINEST_MM && unitMm <= COARSEST_MM)) {
    throw new Problem(
      `The camera's depth_unit_mm is ${unitMm}: it is millimetres a step, from ${FINEST_MM} to ${COARSEST_MM}.`,
    );
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
 * unit, floats are millimetres, as in Python. Metres, bytes and steps that 16 bits do not hold are
 * refused.
 * @returns {Float32Array}
 */
export function toMm(units, camera) {
  if (units.BYTES_PER_ELEMENT === 1) throw new Problem("The depth is of 8 bits: a picture, no distances.");
  const floats = units instanceof Float32Array || units instanceof Float64Array;
  const unit = floats ? 1 : Math.fround(camera.unitMm);
  const none = floats ? NaN : 65535; // what a saturated sensor of 16 bits writes
  const { invalid } = camera;
  const depth = new Float32Array(units.length);
  let most = 0;
  for (let i = 0; i < units.length; i++) {
    const value = units[i];
    if (!floats && !(value >= 0 && value <= 65535)) {
      throw new Problem(`The depth holds a step of ${value}, where steps are 0 to 65535.`);
    }
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
