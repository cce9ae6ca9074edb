/** Timings of the latest frames. */

const LATEST = 120;
const WINDOW_MS = 1000;

export class Stats {
  constructor() {
    this.clear();
  }

  clear() {
    this.took = [];
    this.ends = [];
  }

  /** Count a frame that took so many milliseconds and ended at a time. */
  add(tookMs, endMs) {
    this.took = [...this.took.slice(1 - LATEST), tookMs];
    this.ends = [...this.ends.filter((end) => end > endMs - WINDOW_MS), endMs];
  }

  /** Middle one of the latest times, ms. */
  get p50() {
    const sorted = [...this.took].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? NaN;
  }

  /** Frames a second, over the last one. */
  get rate() {
    const [first, last] = [this.ends[0], this.ends.at(-1)];
    return this.ends.length < 2 ? NaN : ((this.ends.length - 1) * 1000) / (last - first);
  }
}
