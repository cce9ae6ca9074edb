/** onnxruntime-web's WebAssembly, compiled while the graph is still on its way. */

const NAME = "ort-wasm-simd-threaded";
let factory = null;
let compiled = null;

/** Begin with it. @param {string} library folder of onnxruntime-web, ending in a slash. */
export function begin(library) {
  factory = import(`${library}${NAME}.mjs`);
  // Servers that send it as another type than application/wasm leave it to onnxruntime-web.
  compiled = WebAssembly.compileStreaming(fetch(`${library}${NAME}.wasm`)).catch(() => null);
  return { mjs: import.meta.url, wasm: `${library}${NAME}.wasm` };
}

/** What onnxruntime-web calls in place of its own file's function. */
export default async (config) => {
  const [{ default: start }, module] = await Promise.all([factory, compiled]);
  if (!module) return start(config);
  const instantiateWasm = (imports, done) => {
    WebAssembly.instantiate(module, imports).then((instance) => done(instance, module));
  };
  return start({ ...config, instantiateWasm });
};
