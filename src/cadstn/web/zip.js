/** Zip archives: stored or deflated members, as numpy and zip tools write them. */

import { inflate } from "./bytes.js";
import { Problem } from "./problem.js";

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];

/** Whether bytes begin as a zip archive does. */
export function isZip(bytes) {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/**
 * List the members of an archive.
 * @param {Uint8Array} bytes
 * @returns {Map<string, () => Promise<Uint8Array>>} by name, each unpacked when it is called.
 */
export function members(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  let place = view.getUint32(end + 16, true);
  // ZIP64 puts these where more members or bytes do not fit.
  if (count === 0xffff || place === 0xffffffff) throw new Problem("it is too large an archive");
  const found = new Map();
  for (let i = 0; i < count; i++) {
    if (place + 46 > bytes.length || view.getUint32(place, true) !== CENTRAL) {
      throw new Problem("it is a damaged archive");
    }
    const [flags, method] = [view.getUint16(place + 8, true), view.getUint16(place + 10, true)];
    const [packed, size] = [view.getUint32(place + 20, true), view.getUint32(place + 24, true)];
    const lengths = [28, 30, 32].map((offset) => view.getUint16(place + offset, true));
    const local = view.getUint32(place + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(place + 46, place + 46 + lengths[0]));
    found.set(name, () => unpack(bytes, view, { flags, method, packed, size, local }));
    place += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  // Writers without ZIP64 leave the count's last 16 bits.
  if (place + 4 <= bytes.length && view.getUint32(place, true) === CENTRAL) {
    throw new Problem("it holds more members than it counts: too many, or it is damaged");
  }
  return found;
}

function findEnd(view) {
  // A comment of up to 65535 bytes may follow it.
  const first = Math.max(0, view.byteLength - 22 - 65535);
  for (let place = view.byteLength - 22; place >= first; place--) {
    if (view.getUint32(place, true) === END) return place;
  }
  throw new Problem("it is an archive that is cut off");
}

async function unpack(bytes, view, { flags, method, packed, size, local }) {
  if (flags & 1) throw new Problem("it is an archive with a password");
  if (local + 30 > bytes.length || view.getUint32(local, true) !== LOCAL) {
    throw new Problem("it is a damaged archive");
  }
  const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  if (start + packed > bytes.length) throw new Problem("it is an archive that is cut off");
  const data = bytes.subarray(start, start + packed);
  if (method === 0 && packed === size) return data;
  if (method === 8) return inflate(data, "deflate-raw", size);
  throw new Problem("it is an archive packed in a way that this page does not read");
}
