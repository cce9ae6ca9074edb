/** Recordings: the frames of dropped files, of an .npz file, or of a zip of a recording's folder. */

import { cameraOfJson, checkSize, toMm } from "./camera.js";
import { readNpy } from "./npy.js";
import { decodePng, isPng } from "./png.js";
import { Problem } from "./problem.js";
import { isZip, members } from "./zip.js";

/**
 * @typedef {{length: number, camera: import("./camera.js").Camera,
 *   frame: (index: number) => Promise<{width: number, height: number, depth: Float32Array}>}}
 *   Recording depth in mm, row by row.
 */

/** Names in the order of the numbers in them, as a person counts. */
const inOrder = (names) => [...names].sort(new Intl.Collator("en", { numeric: true }).compare);

/**
 * Open files.
 * @param {{name: string, bytes: Uint8Array}[]} files one .npz, or PNGs and perhaps a camera.json.
 * @param {import("./camera.js").Camera | null} given used where the files name no camera.
 * @returns {Promise<Recording>}
 */
export async function openFiles(files, given = null) {
  const readers = new Map();
  let json = null;
  for (const { name, bytes } of files) {
    if (isPng(bytes)) readers.set(name, async () => bytes);
    else if (name.endsWith(".json")) json = new TextDecoder().decode(bytes);
    else if (isZip(bytes)) return openArchive(name, bytes, given);
    else throw notDepth(name, "it is neither an .npz file nor a PNG");
  }
  if (!readers.size) throw new Problem("No file holds depth: drop an .npz file or 16-bit PNGs.");
  return ofImages(readers, json === null ? given : cameraOfJson(json));
}

async function openArchive(name, bytes, given) {
  const held = await named(name, async () => members(bytes));
  const pngs = [...held].filter(([member]) => member.endsWith(".png"));
  if (pngs.length) {
    const json = [...held.keys()].find((member) => /(^|\/)camera\.json$/.test(member));
    const text = json && new TextDecoder().decode(await held.get(json)());
    return ofImages(new Map(pngs), text ? cameraOfJson(text) : given);
  }
  return ofArrays(name, held, given);
}

async function ofArrays(name, held, given) {
  const own = [...held.keys()].filter((member) => member.endsWith(".npy"));
  const array = async (key) => readNpy(await held.get(key)());
  const others = own.filter((key) => !["camera.npy", "time_s.npy"].includes(key));
  const key = held.has("depth.npy") ? "depth.npy" : others.length === 1 ? others[0] : null;
  if (key === null) throw notDepth(name, "it lacks the array 'depth'");
  const camera = held.has("camera.npy")
    ? cameraOfJson((await named(name, () => array("camera.npy"))).data[0])
    : given;
  const { shape, data } = await named(name, () => array(key));
  const sizes = shape.length === 2 ? [1, ...shape] : shape;
  if (sizes.length !== 3 || !data.length || typeof data[0] !== "number") {
    throw notDepth(name, `its array is of shape (${shape})`);
  }
  const [length, height, width] = sizes;
  const size = width * height;
  return {
    length,
    camera: needed(camera),
    frame: async (index) => {
      checkSize(name, { width, height }, camera);
      const units = data.subarray(index * size, (index + 1) * size);
      return { width, height, depth: toMm(units, camera) };
    },
  };
}

async function ofImages(readers, camera) {
  const names = inOrder(readers.keys());
  const frame = async (index) => {
    const { width, height, units } = await named(names[index], async () =>
      decodePng(await readers.get(names[index])()),
    );
    checkSize(names[index], { width, height }, camera);
    return { width, height, depth: toMm(units, camera) };
  };
  needed(camera);
  await frame(0); // an error before it plays
  return { length: names.length, camera, frame };
}

function needed(camera) {
  if (camera) return camera;
  throw new Problem(
    "These frames come without a camera: drop a camera.json with them, or write its numbers below.",
  );
}

function notDepth(name, why) {
  return new Problem(`${name} is not depth that this page reads: ${why}.`);
}

/** Name the file in a problem of its contents. */
async function named(name, read) {
  try {
    return await read();
  } catch (error) {
    throw error instanceof Problem ? notDepth(name, error.message) : error;
  }
}
