// Numbers on screen: frame rate, frame times, latency from hand to picture.
import { element } from "./dom.js";

const KEPT = 200; // values of which the quantiles on screen are
const LONGEST = 5000; // milliseconds; longer ones count as this

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

// The last values, and counts of all there ever were by the millisecond: a session's memory stays the same.
class Series {
  constructor() { [this.values, this.counts, this.total] = [[], new Uint32Array(LONGEST + 1), 0]; }
  add(value) {
    this.values.push(value);
    if (this.values.length > KEPT) this.values.shift();
    this.counts[Math.max(0, Math.min(LONGEST, Math.ceil(value)))] += 1;
    this.total += 1;
  }
  // Of the whole session, rounded up to a millisecond.
  ever(share) {
    let left = Math.ceil(share * this.total);
    return this.counts.findIndex((count) => (left -= count) <= 0);
  }
  get p50() { return quantile(this.values, 0.5); }
  get p99() { return quantile(this.values, 0.99); }
  show(id) {
    if (!this.values.length) return;
    const digits = this.p99 < 10 ? 1 : 0;
    element(id).textContent = `${this.p50.toFixed(digits)} / ${this.p99.toFixed(digits)}`;
  }
}

export class Hud {
  constructor() {
    this.restart();
    setInterval(() => this.show(), 500);
  }

  restart() {
    [this.intervals, this.latencies, this.costs] = [new Series(), new Series(), new Series()];
    this.pending = new Map();
    this.times = [];
    this.frames = 0;
    this.first = null;
    this.paused = false;
  }

  // Input with this number, of a hand that moved at this time.
  felt(seq, time) {
    if (this.pending.size < 1000) this.pending.set(seq, time);
  }

  // A frame is on the canvas; it shows all input up to its `seq`.
  drawn(header, time) {
    this.frames += 1;
    this.first ??= time;
    this.latest = time;
    const last = this.times.at(-1);
    if (last !== undefined && !this.paused) this.intervals.add(time - last);
    this.times.push(time);
    if (this.times.length > KEPT) this.times.shift();
    this.costs.add(header.ms);
    for (const [seq, felt] of this.pending) {
      if (seq > header.seq) continue;
      this.pending.delete(seq);
      if (!this.paused) this.latencies.add(time - felt);
    }
    element("counter").textContent = header.step;
    element("hud").dataset.frames = this.frames;
  }

  status({ paused, by }) {
    if (this.paused && !paused) this.times = [];
    this.paused = paused;
    const who = element("who");
    who.textContent = paused ? "paused" : by === "person" ? "you" : "agent";
    who.className = `badge ${paused ? "held" : by}`;
  }

  show() {
    const now = performance.now();
    const recent = this.times.filter((time) => time > now - 2000);
    const rate = recent.length > 1 ? 1000 * (recent.length - 1) / (recent.at(-1) - recent[0]) : 0;
    element("fps").textContent = rate.toFixed(1);
    this.intervals.show("interval");
    this.latencies.show("latency");
    this.costs.show("cost");
    const data = { fps: rate, everFps: 1000 * (this.frames - 1) / (this.latest - this.first) };
    const all = { interval: this.intervals, latency: this.latencies, cost: this.costs };
    for (const [name, series] of Object.entries(all)) {
      Object.assign(data, {
        [`${name}P50`]: series.p50, [`${name}P99`]: series.p99,
        [`${name}EverP50`]: series.ever(0.5), [`${name}EverP99`]: series.ever(0.99), [`${name}Count`]: series.total,
      });
    }
    Object.assign(element("hud").dataset, data);
  }
}
