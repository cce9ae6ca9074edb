/** What several tests need. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PYTHON = process.env.PYTHON ?? "python3";

/** Run Python code; returns what it writes to standard output. */
export function python(code, ...args) {
  return execFileSync(PYTHON, ["-c", code, ...args], { maxBuffer: 2 ** 28 });
}

/** A file of the packaged recording. */
export const demoFile = (name) => new Uint8Array(readFileSync(`${ROOT}src/cadstn/demo/${name}`));

/** A PNG chunk with its checksum. */
function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind), data]);
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}

/** A PNG of rows that are already filtered, each with its filter's number in front. */
export function pngOf(width, height, rows, { bits = 16, colour = 0, parts = 1 } = {}) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bits, colour, 0, 0, 0], 8);
  const packed = deflateSync(Buffer.from(rows));
  const step = Math.ceil(packed.length / parts);
  const data = Array.from({ length: parts }, (_, i) => packed.subarray(i * step, (i + 1) * step));
  return new Uint8Array(
    Buffer.concat([
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      chunk("IHDR", header),
      ...data.map((part) => chunk("IDAT", part)),
      chunk("IEND", Buffer.alloc(0)),
    ]),
  );
}
