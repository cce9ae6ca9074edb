/** Grey PNG images of 16 bits. A canvas would give 8 bits of each depth. */

import { inflate } from "./bytes.js";
import { Problem } from "./problem.js";

const START = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const MOST_PIXELS = 2 ** 25;

/** Whether bytes begin as a PNG does. */
export function isPng(bytes) {
  return START.every((value, place) => bytes[place] === value);
}

/**
 * Decode a grey PNG.
 * @param {Uint8Array} bytes
 * @returns {Promise<{width: number, height: number, units: Uint16Array}>} raw units, row by row.
 */
export async function decodePng(bytes) {
  if (!isPng(bytes)) throw new Problem("it is no PNG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header = null;
  const parts = [];
  for (let place = 8; place + 12 <= bytes.length; ) {
    const size = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (place + 12 + size > bytes.length) break;
    if (kind === "IHDR" && size === 13) header = readHeader(view, place + 8);
    if (kind === "IDAT") parts.push(bytes.subarray(place + 8, place + 8 + size));
    if (kind === "IEND") break;
    place += 12 + size;
  }
  if (!header || !parts.length) throw new Problem("it is a PNG without pixels");
  const { width, height } = header;
  const rows = await inflate(joined(parts), "deflate", height * (1 + 2 * width));
  unfilter(rows, 2 * width, height);
  return { width, height, units: unitsOf(rows, width, height) };
}

function readHeader(view, place) {
  const width = view.getUint32(place);
  const height = view.getUint32(place + 4);
  const [bits, colour, , , interlaced] = [8, 9, 10, 11, 12].map((i) => view.getUint8(place + i));
  if (colour !== 0 || bits !== 16) {
    throw new Problem("it is a picture; depth is a PNG of one channel of 16 bits");
  }
  if (interlaced) throw new Problem("it is an interlaced PNG, which this page does not read");
  if (!width || !height || width * height > MOST_PIXELS) {
    throw new Problem(`it is a PNG of ${width} x ${height} pixels`);
  }
  return { width, height };
}

/** Undo the filter of each row in place (PNG specification, section 9). */
function unfilter(rows, rowBytes, height) {
  let above = new Uint8Array(rowBytes);
  for (let row = 0; row < height; row++) {
    const start = row * (rowBytes + 1) + 1;
    const own = rows.subarray(start, start + rowBytes);
    const kind = rows[start - 1];
    if (kind >= UNDO.length) throw new Problem("its rows are damaged");
    UNDO[kind](own, above);
    above = own;
  }
}

/** By the filter's number; each with its own loop, which is twice as fast as one for all. */
const UNDO = [
  () => {},
  (own) => {
    for (let i = 2; i < own.length; i++) own[i] += own[i - 2];
  },
  (own, above) => {
    for (let i = 0; i < own.length; i++) own[i] += above[i];
  },
  (own, above) => {
    for (let i = 0; i < own.length; i++) own[i] += ((i < 2 ? 0 : own[i - 2]) + above[i]) >> 1;
  },
  (own, above) => {
    for (let i = 0; i < own.length; i++) {
      own[i] += i < 2 ? above[i] : paeth(own[i - 2], above[i], above[i - 2]);
    }
  },
];

function paeth(left, up, corner) {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function unitsOf(rows, width, height) {
  const units = new Uint16Array(width * height);
  for (let row = 0, out = 0; row < height; row++) {
    let place = row * (2 * width + 1) + 1;
    for (let column = 0; column < width; column++, place += 2) {
      units[out++] = (rows[place] << 8) | rows[place + 1];
    }
  }
  return units;
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}
