/** Frames and hands that `cadstn live --serve` sends. */

import { skeletonOf } from "./skeleton.js";

const AGAIN_MS = 2000;

/**
 * Connect, and connect again whenever the other side goes away.
 * @param {string} address of the WebSocket.
 * @param {{frame: Function, skeleton: Function, away: Function}} on
 */
export function follow(address, on) {
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") {
      const { bones, fingers } = JSON.parse(data);
      on.skeleton(skeletonOf(bones, fingers));
    } else {
      on.frame(...unpack(data));
    }
  });
  socket.addEventListener("close", () => {
    on.away();
    setTimeout(() => follow(address, on), AGAIN_MS);
  });
}

/**
 * Take a message apart: the length of its JSON (4 bytes, the lowest first), the JSON, and depth in
 * whole millimetres of 16 bits each, row by row.
 * @param {ArrayBuffer} data
 */
export function unpack(data) {
  const length = new DataView(data).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const { width, height, camera } = about;
  // Copied, because depth need not begin at an even place.
  const depth = Float32Array.from(new Uint16Array(data.slice(4 + length), 0, width * height));
  const hands = about.hands.map((hand) => ({ ...hand, joints: hand.joints_mm, presence: hand.present }));
  return [{ width, height, depth, camera }, hands, about];
}
