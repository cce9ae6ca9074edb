/** Streams of bytes through the browser's own inflate. */

import { Problem } from "./problem.js";

/** Most bytes that one file may unpack to: a small file can hold gigabytes of zeros. */
export const MOST_BYTES = 2 ** 30;

/**
 * Inflate bytes.
 * @param {Uint8Array} packed
 * @param {"deflate" | "deflate-raw"} format with zlib's header, as in PNG, or without, as in zip.
 * @param {number} size bytes that must come out.
 * @returns {Promise<Uint8Array>}
 */
export async function inflate(packed, format, size) {
  if (size > MOST_BYTES) throw new Problem(`it unpacks to ${(size / 1e9).toFixed(1)} GB`);
  const out = new Uint8Array(size);
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream(format)).getReader();
  let place = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (place + value.length > size) throw new Problem("it holds more than its header announces");
      out.set(value, place);
      place += value.length;
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error instanceof Problem ? error : new Problem("its compressed data is damaged");
  }
  if (place !== size) throw new Problem("it is cut off");
  return out;
}
