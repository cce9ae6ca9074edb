/** Recordings: the frames of dropped files, of an .npz file, or of a zip of a recording's folder. */

import { cameraOfJson, checkSize, toMm } from "./camera.js";
import { folderOf, highest, isVisible, shotsOf } from "./folder.js";
import { readNpy } from "./npy.js";
import { decodePng, isPng } from "./png.js";
import { Problem } from "./problem.js";
import { isZip, members } from "./zip.js";

/**
 * @typedef {{length: number, camera: import("./camera.js").Camera, cuts: Set<number>,
 *   frame: (index: number) => Promise<{width: number, height: number, depth: Float32Array}>}}
 *   Recording depth in mm, row by row; cuts: first frames of shots, where a tracker must forget the
 *   hand, whether the first of all is among them or not.
 */

/** Arrays of an .npz recording besides its depth. */
const BESIDE = ["camera", "time_s", "joints_xyz_mm", "skeleton", "cuts"].map((name) => `${name}.npy`);
const text = (bytes) => new TextDecoder().decode(bytes);

/**
 * Open files.
 * @param {{name: string, bytes: Uint8Array}[]} files one .npz or .zip, or PNGs and perhaps their
 *   truth.npz, and perhaps a camera.json, which counts before the archive's own.
 * @param {import("./camera.js").Camera | null} given used where the files name no camera.
 * @returns {Promise<Recording>}
 */
export async function openFiles(files, given = null) {
  const images = new Map();
  const [archives, jsons] = [[], []];
  for (const { name, bytes } of files.filter((file) => isVisible(file.name))) {
    if (isPng(bytes)) images.set(name, async () => bytes);
    else if (name.endsWith(".json")) jsons.push(bytes);
    else if (isZip(bytes)) archives.push({ name, bytes });
    else throw notDepth(name, "it is neither an .npz file nor a PNG");
  }
  if (jsons.length > 1) throw new Problem("These are several .json files: drop the one camera.json.");
  const camera = jsons.length ? cameraOfJson(text(jsons[0])) : null;
  const labels = archives.filter(({ name }) => images.size && name === "truth.npz");
  if (archives.length > labels.length) {
    if (images.size || archives.length > 1) {
      throw new Problem("These are several recordings: drop one archive, or 16-bit PNGs.");
    }
    return openArchive(archives[0], camera, given);
  }
  if (!images.size) throw new Problem("No file holds depth: drop an .npz file or 16-bit PNGs.");
  const held = new Map(labels.map(({ name, bytes }) => [name, async () => bytes]));
  return ofImages(images, held, camera ?? given);
}

/**
 * The first frame that can be read.
 * @param {Recording} recording
 */
export async function firstFrame(recording) {
  let first;
  for (let index = 0; index < recording.length; index++) {
    try {
      return await recording.frame(index);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      first ??= error;
    }
  }
  throw first;
}

async function openArchive({ name, bytes }, camera, given) {
  const held = await named(name, async () => members(bytes));
  const visible = new Map([...held].filter(([member]) => isVisible(member)));
  const images = new Map([...visible].filter(([member]) => /\.png$/i.test(member)));
  if (!images.size) return ofArrays(name, held, camera, given);
  return ofImages(images, visible, camera ?? (await cameraIn(visible)) ?? given);
}

/** The camera of a folder's files; that of its shots if it has none. */
async function cameraIn(held) {
  const found = highest([...held.keys()].filter((member) => /(^|\/)camera\.json$/.test(member)));
  const cameras = await Promise.all(found.map(async (member) => cameraOfJson(text(await held.get(member)()))));
  if (new Set(cameras.map((camera) => JSON.stringify(camera))).size > 1) {
    throw new Problem(`${found[0]} and ${found[1]} differ: drop the frames of each camera by themselves.`);
  }
  return cameras[0] ?? null;
}

async function ofArrays(name, held, dropped, given) {
  const own = [...held.keys()].filter((member) => member.endsWith(".npy"));
  const array = (key) => named(name, async () => readNpy(await held.get(key)()));
  const others = own.filter((key) => !BESIDE.includes(key));
  const key = held.has("depth.npy") ? "depth.npy" : others.length === 1 ? others[0] : null;
  if (key === null) throw notDepth(name, "it lacks the array 'depth'");
  const json = !dropped && held.has("camera.npy") ? (await array("camera.npy")).data[0] : null;
  const camera = dropped ?? (json === null ? given : cameraOfJson(json));
  const { shape, data } = await array(key);
  const sizes = shape.length === 2 ? [1, ...shape] : shape;
  if (sizes.length !== 3 || !data.length || typeof data[0] !== "number") {
    throw notDepth(name, `its array is of shape (${shape})`);
  }
  const [length, height, width] = sizes;
  const size = width * height;
  return {
    length,
    camera: needed(camera),
    cuts: new Set(held.has("cuts.npy") ? (await array("cuts.npy")).data : []),
    frame: async (index) => {
      checkSize(name, { width, height }, camera);
      const units = data.subarray(index * size, (index + 1) * size);
      return { width, height, depth: toMm(units, camera) };
    },
  };
}

async function ofImages(images, held, camera) {
  needed(camera);
  const shots = shotsOf([...images.keys()]);
  const names = shots.flatMap((shot) => shot.names);
  const frame = async (index) => {
    const { width, height, units } = await named(names[index], async () =>
      decodePng(await images.get(names[index])()),
    );
    checkSize(names[index], { width, height }, camera);
    return { width, height, depth: toMm(units, camera) };
  };
  return { length: names.length, camera, cuts: await cutsOf(shots, held), frame };
}

/** Where shots begin: folders, and the cuts that a truth.npz holds of its folder's frames. */
async function cutsOf(shots, held) {
  const cuts = new Set(shots.map(({ start }) => start));
  for (const name of [...held.keys()].filter((member) => /(^|\/)truth\.npz$/.test(member))) {
    const folder = folderOf(name);
    const shot = shots.find((one) => `${one.folder}/`.startsWith(folder && `${folder}/`));
    if (!shot) continue;
    const own = await named(name, async () => {
      const arrays = members(await held.get(name)());
      return arrays.has("cuts.npy") ? readNpy(await arrays.get("cuts.npy")()).data : [];
    });
    for (const cut of own) cuts.add(shot.start + cut);
  }
  return cuts;
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
