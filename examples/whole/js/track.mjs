// Track plain frames with the whole graph in Node.js.
//
//   npm install --no-save --prefix . onnxruntime-node
//   node track.mjs hand.onnx demo.raw 320 240 285 285 160 120
//
// With WEB=1 it takes onnxruntime-web, the WebAssembly that browsers run.
import { readFileSync } from "node:fs";

const ort = await import(process.env.WEB ? "onnxruntime-web" : "onnxruntime-node");
const [model, path, ...numbers] = process.argv.slice(2);
const [width, height, ...camera] = numbers.map(Number);

const session = await ort.InferenceSession.create(readFileSync(model));
const bytes = readFileSync(path);
const frames = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
const intrinsics = new ort.Tensor("float32", Float32Array.from(camera), [4]); // fx, fy, cx, cy

const shape = session.inputMetadata.find((item) => item.name === "state").shape;
let state = new ort.Tensor("float32", new Float32Array(shape[0] * shape[1]), shape); // a new stream

for (let number = 0; number < frames.length / (width * height); number++) {
  const steps = frames.subarray(number * width * height, (number + 1) * width * height);
  const depth = new ort.Tensor("float32", Float32Array.from(steps), [height, width]);
  const out = await session.run({ depth, intrinsics, state });
  state = out.new_state;
  for (let hand = 0; hand < shape[0]; hand++) {
    if (!out.found.data[hand]) {
      console.log(number, hand, "lost");
      continue;
    }
    const tip = (hand * 21 + 8) * 3; // the index finger's tip
    const place = Array.from(out.joints_mm.data.slice(tip, tip + 3), (mm) => mm.toFixed(2));
    const side = out.left.data[hand] ? "left" : "right";
    console.log(number, hand, side, out.presence.data[hand].toFixed(3), ...place);
  }
}
