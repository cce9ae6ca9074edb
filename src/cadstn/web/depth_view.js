/** The depth image with the skeletons over it. */

import { drawSkeleton } from "./skeleton.js";

const RANGE_MM = 900;
const BIN_MM = 8;

/** Make a canvas as large as it is shown, in the screen's own pixels. */
export function fit(canvas) {
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * scale));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

/** Depth that one measured pixel in a hundred is nearer than, in mm. */
function nearest(depth) {
  const counts = new Uint32Array(1024);
  let all = 0;
  for (const mm of depth) {
    if (mm > 0) {
      counts[Math.min((mm / BIN_MM) | 0, 1023)]++;
      all++;
    }
  }
  let bin = 0;
  for (let seen = counts[0]; bin < 1023 && seen < all / 100; ) seen += counts[++bin];
  return bin * BIN_MM;
}

export class DepthView {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.small = document.createElement("canvas");
  }

  /** Draw a frame: depth in mm, and of each hand that is found joints (x, y, z) in mm. */
  draw({ width, height, depth, camera }, hands, skeleton) {
    if (this.small.width !== width || this.small.height !== height) {
      Object.assign(this.small, { width, height });
      this.canvas.style.aspectRatio = `${width} / ${height}`;
    }
    const small = this.small.getContext("2d");
    const image = small.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const near = nearest(depth);
    for (let i = 0; i < depth.length; i++) {
      const bright = Math.min(Math.max((near + RANGE_MM - depth[i]) / RANGE_MM, 0), 1);
      const grey = depth[i] > 0 ? (bright * 215 + 40) | 0 : 0;
      pixels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    small.putImageData(image, 0, 0);
    fit(this.canvas);
    const { canvas, context } = this;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.small, 0, 0, canvas.width, canvas.height);
    const scale = canvas.width / width;
    for (const { found, joints } of hands) {
      // The middle of the first pixel is 0, and the image begins at -0.5.
      const toPixel = ([x, y, z]) => [
        ((x * camera.fx) / z + camera.cx + 0.5) * scale,
        ((y * camera.fy) / z + camera.cy + 0.5) * scale,
      ];
      if (found) drawSkeleton(context, joints.map(toPixel), skeleton, canvas.width / 220);
    }
  }
}
