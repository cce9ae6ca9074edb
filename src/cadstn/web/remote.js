/** The tracker in its worker, called from the page. */

import { Problem } from "./problem.js";

export class RemoteTracker {
  constructor() {
    this.waiting = new Map();
    this.count = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data: { id, result, failed, problem } }) => {
      const { done, fail } = this.waiting.get(id);
      this.waiting.delete(id);
      if (failed === undefined) done(result);
      else fail(problem ? new Problem(failed) : new Error(failed));
    });
    this.worker.addEventListener("error", ({ message }) => {
      for (const { fail } of this.waiting.values()) fail(new Error(message ?? "its worker does not start"));
    });
  }

  call(name, given) {
    return new Promise((done, fail) => {
      this.waiting.set(++this.count, { done, fail });
      this.worker.postMessage({ id: this.count, name, given });
    });
  }

  /** Load the graph, see `Tracker.load`; gives what it runs on. */
  load(graph, library, options) {
    return this.call("load", { graph, library, options });
  }

  /** Track a frame, the first one of a stream if `fresh`; gives the hands and the time it took. */
  step(frame, fresh) {
    return this.call("step", { frame, fresh });
  }
}
