// Numbers on screen: frame rate, frame times, latency from hand to picture.

const KEPT = 200;
const element = (id) => document.getElementById(id);

function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

class Series {
  constructor() { this.values = []; }
  add(value) {
    this.values.push(value);
    if (this.values.length > KEPT) this.values.shift();
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
    this.seen = 0;
    this.paused = false;
  }

  // Input with this number, of a hand that moved at this time.
  felt(seq, time) {
    if (this.pending.size < 1000) this.pending.set(seq, time);
  }

  // A frame is on the canvas; it shows all input up to its `seq`.
  drawn(header, time) {
    this.frames += 1;
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
    Object.assign(element("hud").dataset, {
      fps: rate, intervalP50: this.intervals.p50, intervalP99: this.intervals.p99,
      latencyP50: this.latencies.p50, latencyP99: this.latencies.p99, costP50: this.costs.p50,
    });
  }
}
