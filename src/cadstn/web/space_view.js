/** Hands and the points around them in 3D, turned with the mouse, a finger or the arrow keys. */

import { fit } from "./depth_view.js";
import { drawSkeleton } from "./skeleton.js";

const AROUND_MM = 160;
const EYE_MM = 900;
const MOST_POINTS = 30_000;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class SpaceView {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    [this.turn, this.tilt, this.zoom] = [0.5, -0.25, 1];
    this.last = null;
    this.center = [0, 0, 600];
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.move(event.movementX / 120, event.movementY / 120);
    });
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      this.move(...KEYS[event.key].map((step) => step * 0.15));
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom = Math.min(Math.max(this.zoom * Math.exp(-event.deltaY / 600), 0.3), 4);
      this.again();
    }, { passive: false });
  }

  move(turn, tilt) {
    this.turn += turn;
    this.tilt = Math.min(Math.max(this.tilt - tilt, -1.5), 1.5);
    this.again();
  }

  again() {
    if (this.last) this.draw(...this.last);
  }

  draw(frame, hands, skeleton) {
    this.last = [frame, hands, skeleton];
    const found = hands.filter((hand) => hand.found);
    if (found.length) this.follow(found[0].joints);
    fit(this.canvas);
    const { width, height } = this.canvas;
    // Kept from frame to frame: a megabyte of each would be made and thrown away otherwise.
    if (this.image?.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.distances = new Float32Array(width * height);
    }
    const { image } = this;
    this.points(frame, new Uint32Array(image.data.buffer), width, height);
    this.context.putImageData(image, 0, 0);
    const project = this.projection(width, height);
    for (const { joints } of found) {
      drawSkeleton(this.context, joints.map((joint) => project(...joint)), skeleton, width / 160);
    }
  }

  /** The middle of the view comes after the hand, smoothly. */
  follow(joints) {
    const mean = [0, 1, 2].map((axis) => joints.reduce((sum, j) => sum + j[axis], 0) / joints.length);
    const far = Math.hypot(...mean.map((value, axis) => value - this.center[axis])) > AROUND_MM;
    this.center = this.center.map((value, axis) => (far ? mean[axis] : 0.8 * value + 0.2 * mean[axis]));
  }

  /** Pixels of the canvas that a length is shown with, times its distance over that length. */
  focal(width, height) {
    return (this.zoom * Math.min(width, height) * EYE_MM) / (2 * AROUND_MM);
  }

  /** A function from mm in the camera's frame to pixels of the canvas, and the distance in mm. */
  projection(width, height) {
    const [cosTurn, sinTurn] = [Math.cos(this.turn), Math.sin(this.turn)];
    const [cosTilt, sinTilt] = [Math.cos(this.tilt), Math.sin(this.tilt)];
    const [cx, cy, cz] = this.center;
    const focal = this.focal(width, height);
    return (x, y, z) => {
      const [dx, dy, dz] = [x - cx, y - cy, z - cz];
      const side = cosTurn * dx - sinTurn * dz;
      const away = sinTurn * dx + cosTurn * dz;
      const distance = EYE_MM + sinTilt * dy + cosTilt * away;
      const scale = focal / distance;
      return [width / 2 + side * scale, height / 2 + (cosTilt * dy - sinTilt * away) * scale, distance];
    };
  }

  /** Draw what was measured around the middle of the view, near points over far ones. */
  points({ width: columns, height: rows, depth, camera }, pixels, width, height) {
    pixels.fill(0xff161210);
    const distances = this.distances.fill(Infinity);
    const project = this.projection(width, height);
    const [cx, cy, cz] = this.center;
    // Only pixels that can lie in the cube around the middle are visited.
    const [near, far] = [Math.max(cz - AROUND_MM, 50), cz + AROUND_MM];
    const range = (center, focal, middle, size) => {
      // An edge that lies aside of the camera's axis is furthest out in the image where it is near,
      // and furthest in where it is far.
      const [low, high] = [center - AROUND_MM, center + AROUND_MM];
      const first = (low * focal) / (low > 0 ? far : near) + middle;
      const last = (high * focal) / (high > 0 ? near : far) + middle;
      return [Math.max(Math.floor(first), 0), Math.min(Math.ceil(last), size - 1)];
    };
    const [left, right] = range(cx, camera.fx, camera.cx, columns);
    const [top, bottom] = range(cy, camera.fy, camera.cy, rows);
    const step = Math.max(1, Math.ceil(Math.sqrt(((right - left) * (bottom - top)) / MOST_POINTS)));
    // As large as the distance between two points, so that a surface has no holes.
    const dot = 1 + Math.ceil((step * cz * this.focal(width, height)) / (camera.fx * EYE_MM));
    for (let row = top; row <= bottom; row += step) {
      for (let column = left; column <= right; column += step) {
        const z = depth[row * columns + column];
        if (!(Math.abs(z - cz) < AROUND_MM)) continue;
        const x = ((column - camera.cx) * z) / camera.fx;
        const y = ((row - camera.cy) * z) / camera.fy;
        if (Math.abs(x - cx) > AROUND_MM || Math.abs(y - cy) > AROUND_MM) continue;
        const [px, py, distance] = project(x, y, z);
        const grey = Math.min(Math.max((EYE_MM + AROUND_MM - distance) / (2 * AROUND_MM), 0), 1) * 150 + 50;
        const colour = 0xff000000 | (grey << 16) | (grey << 8) | grey;
        for (let i = Math.max(py | 0, 0); i < Math.min((py | 0) + dot, height); i++) {
          for (let j = Math.max(px | 0, 0); j < Math.min((px | 0) + dot, width); j++) {
            const place = i * width + j;
            if (distance < distances[place]) {
              distances[place] = distance;
              pixels[place] = colour;
            }
          }
        }
      }
    }
  }
}
