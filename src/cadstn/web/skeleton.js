/** Bones and colours of a hand; a live server sends its own, which may have other joints. */

/** Joints of each finger from root to tip; the wrist is 0. As cadstn's HAND21. */
const FINGERS = {
  thumb: [1, 2, 3, 4],
  index: [5, 6, 7, 8],
  middle: [9, 10, 11, 12],
  ring: [13, 14, 15, 16],
  pinky: [17, 18, 19, 20],
};

// Distinct for most colour-blind people (Okabe and Ito).
const COLOURS = {
  thumb: "#e69f00", index: "#56b4e9", middle: "#009e73", ring: "#f0e442", pinky: "#cc79a7",
};

/** @typedef {{bones: [number, number][], colours: string[]}} Skeleton colours are of joints. */

/** @returns {Skeleton} */
export function skeletonOf(bones, fingers) {
  const colours = [];
  for (const [finger, chain] of Object.entries(fingers)) {
    for (const joint of chain) colours[joint] = COLOURS[finger];
  }
  return { bones, colours };
}

export const HAND21 = skeletonOf(
  Object.values(FINGERS).flatMap((chain) => chain.map((joint, i) => [i ? chain[i - 1] : 0, joint])),
  FINGERS,
);

/** Draw bones and joints; points begin with x and y in the canvas' pixels. */
export function drawSkeleton(context, points, { bones, colours }, width) {
  context.lineCap = "round";
  for (const [from, to] of bones) {
    for (const [style, thick] of [["rgb(0 0 0 / 55%)", 2.2 * width], [colours[to] ?? "#fff", width]]) {
      context.strokeStyle = style;
      context.lineWidth = thick;
      context.beginPath();
      context.moveTo(points[from][0], points[from][1]);
      context.lineTo(points[to][0], points[to][1]);
      context.stroke();
    }
  }
  points.forEach(([x, y], joint) => {
    context.fillStyle = colours[joint] ?? "#fff";
    context.beginPath();
    context.arc(x, y, 1.3 * width, 0, 2 * Math.PI);
    context.fill();
  });
}
