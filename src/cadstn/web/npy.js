/** Arrays in numpy's .npy form. */

import { Problem } from "./problem.js";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const KINDS = {
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array, i2: Int16Array, i4: Int32Array,
  f4: Float32Array, f8: Float64Array,
};

/**
 * Read one array.
 * @param {Uint8Array} bytes of the file.
 * @returns {{shape: number[], data: ArrayLike<number> | string[]}} row by row; text as strings.
 */
export function readNpy(bytes) {
  if (!MAGIC.every((value, place) => bytes[place] === value)) throw new Problem("it is no .npy array");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes[6] > 1;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  const header = new TextDecoder("latin1").decode(bytes.subarray(wide ? 12 : 10, start));
  const descr = /'descr':\s*'([<>|=])(\w)(\d+)'/.exec(header);
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header);
  if (!descr || !shape) throw new Problem("it holds an array of an unknown kind");
  const sizes = shape[1].split(",").filter((text) => text.trim()).map(Number);
  if (/'fortran_order':\s*True/.test(header) && sizes.length > 1) {
    throw new Problem("it holds an array in Fortran order, which this page does not read");
  }
  const count = sizes.reduce((product, size) => product * size, 1);
  const [, order, kind, digits] = descr;
  const body = bytes.subarray(start);
  const itemBytes = kind === "U" ? 4 * Number(digits) : Number(digits);
  if (body.length !== count * itemBytes) throw new Problem("its array is cut off");
  if (order === ">") throw new Problem("it holds big-endian numbers, which this page does not read");
  if (kind === "U") return { shape: sizes, data: texts(body, count, Number(digits)) };
  // Copied, because the place in the file need not be a multiple of the number's size.
  const copied = body.slice().buffer;
  if (kind === "i" && digits === "8") return { shape: sizes, data: narrowed(new BigInt64Array(copied)) };
  const Kind = KINDS[kind + digits];
  if (!Kind) throw new Problem(`it holds an array of kind ${kind}${digits}`);
  return { shape: sizes, data: new Kind(copied) };
}

/** NumPy's usual whole numbers, of 64 bits, as 32: indices and depth need no more. */
function narrowed(wide) {
  const data = Int32Array.from(wide, Number);
  if (data.some((value, i) => BigInt(value) !== wide[i])) throw new Problem("it holds numbers of more than 32 bits");
  return data;
}

/** Text of a fixed number of characters of four bytes each, filled up with zeros. */
function texts(body, count, length) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return Array.from({ length: count }, (_, item) => {
    let text = "";
    for (let i = 0; i < length; i++) {
      const code = view.getUint32(4 * (item * length + i), true);
      if (code > 0x10ffff) throw new Problem("its text is damaged");
      if (code) text += String.fromCodePoint(code);
    }
    return text;
  });
}
