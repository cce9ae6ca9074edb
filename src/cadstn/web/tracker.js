/** The whole tracker as one ONNX graph, run by onnxruntime-web. */

import { Problem } from "./problem.js";
import { begin } from "./wasm_start.js";

/** A module with one instruction of 128 bits: valid where WebAssembly has SIMD. */
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11,
]);
const MOST_THREADS = 4;

/**
 * @typedef {{found: boolean, joints: number[][], presence: number, side: "left" | "right",
 *   errorScaleMm: number[]}} Hand joints (x, y, z) in mm, camera frame.
 */

/** What the browser lacks, as one sentence; empty if nothing. */
export function lacks() {
  if (globalThis.crossOriginIsolated && globalThis.SharedArrayBuffer) return "";
  return "WebAssembly has no threads on this page, so it runs on one thread.";
}

export class Tracker {
  /**
   * Load the graph.
   * @param {URL | string} graph address of the .onnx file.
   * @param {string} library folder of onnxruntime-web, ending in a slash.
   * @param {{gpu?: boolean, threads?: number, optimised?: boolean}} options whether to try WebGPU
   *   (without it, or where it fails, WASM); threads at most; whether the graph was optimised
   *   before, as docs/web.py does it: then it is ready sooner.
   */
  static async load(graph, library, { gpu = false, threads = MOST_THREADS, optimised = false } = {}) {
    if (!globalThis.WebAssembly || !WebAssembly.validate(SIMD)) {
      throw new Problem("This browser's WebAssembly has no SIMD, which the tracker needs; a newer browser has it.");
    }
    const bytes = fetched(graph);
    const backends = gpu && (await navigator.gpu?.requestAdapter()) ? ["webgpu", "wasm"] : ["wasm"];
    for (const backend of backends) {
      try {
        return await Tracker.on(backend, bytes, library, threads, optimised);
      } catch (error) {
        if (backend === "wasm") throw error;
      }
    }
  }

  static async on(backend, bytes, library, threads, optimised) {
    const paths = backend === "wasm" ? begin(library) : library;
    const [ort, graph] = await Promise.all([import(`${library}ort.${backend}.min.mjs`), bytes]);
    ort.env.wasm.wasmPaths = paths;
    // Two processors are most often one core, and threads that wait for each other's share of one
    // take longer than a single thread.
    const cores = Math.max(1, navigator.hardwareConcurrency >> 1);
    ort.env.wasm.numThreads = lacks() ? 1 : Math.min(threads, cores);
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: [backend],
      graphOptimizationLevel: optimised && backend === "wasm" ? "disabled" : "all",
    });
    return new Tracker(ort, session, backend);
  }

  constructor(ort, session, backend) {
    const { shape } = session.inputMetadata.find(({ name }) => name === "state");
    Object.assign(this, { ort, session, backend, shape });
    this.reset();
  }

  /** Threads, or the GPU. */
  get runsOn() {
    if (this.backend === "webgpu") return "WebGPU";
    const threads = this.ort.env.wasm.numThreads;
    return `WASM, ${threads} thread${threads === 1 ? "" : "s"}`;
  }

  /** Forget all hands. */
  reset() {
    this.state = new this.ort.Tensor("float32", new Float32Array(this.shape[0] * this.shape[1]), this.shape);
  }

  /**
   * Track a frame.
   * @param {{width: number, height: number, depth: Float32Array, camera: object}} frame mm.
   * @returns {Promise<Hand[]>}
   */
  async step({ width, height, depth, camera }) {
    const { Tensor } = this.ort;
    const { fx, fy, cx, cy } = camera;
    const out = await this.session.run({
      depth: new Tensor("float32", depth, [height, width]),
      intrinsics: new Tensor("float32", Float32Array.of(fx, fy, cx, cy), [4]),
      state: this.state,
    });
    this.state = out.new_state;
    return Array.from({ length: this.shape[0] }, (_, place) => handOf(out, place));
  }
}

function handOf(out, place) {
  const joints = out.joints_mm.dims[1];
  const scales = out.error_scale_mm.data;
  const values = out.joints_mm.data.subarray(place * joints * 3, (place + 1) * joints * 3);
  return {
    found: Boolean(out.found.data[place]),
    joints: Array.from({ length: joints }, (_, joint) => [...values.subarray(3 * joint, 3 * joint + 3)]),
    presence: out.presence.data[place],
    side: out.left.data[place] > 0.5 ? "left" : "right",
    errorScaleMm: [...scales.subarray(place * joints, (place + 1) * joints)],
  };
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Problem("The tracker's file is not here: 'make web' builds this page with it.");
  return new Uint8Array(await answer.arrayBuffer());
}
