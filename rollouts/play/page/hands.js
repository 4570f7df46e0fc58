// Keyboard, mouse, touch and gamepad → which keys are held, how far the mouse went. Sent when something changes.
import { element, make } from "./dom.js";

const SHORTCUTS = { KeyH: "hand", KeyP: "pause", Period: "step", KeyN: "next", KeyV: "record" };
const PAUSE_BETWEEN = 12; // milliseconds between two messages of mouse movement
const TURN = 14; // pixels a display frame of a gamepad's stick at its end
const DEAD = 0.25;
const clamp = (value, most) => Math.max(-most, Math.min(most, value));

export class Hands {
  constructor(stage, send, shortcut) {
    [this.stage, this.send, this.shortcut] = [stage, send, shortcut];
    this.sources = { keys: new Set(), touch: new Set(), pad: new Set() };
    this.layout = null;
    this.seq = 0;
    this.sent = "";
    this.reset();
    this.running = false;
    this.listen();
    const poll = () => { this.gamepad(); requestAnimationFrame(poll); };
    requestAnimationFrame(poll);
  }

  use(layout) {
    this.layout = layout;
    this.bound = new Set(layout.bindings.flatMap((binding) => binding.keys));
    this.stage.classList.toggle("look", layout.look);
    if (matchMedia("(pointer: coarse)").matches) this.touch();
  }

  start() {
    [this.running, this.sent] = [true, ""];
    this.seq = 0;
  }

  stop() {
    this.running = false;
    if (this.locked) document.exitPointerLock();
    this.release();
  }

  get locked() { return document.pointerLockElement !== null; }

  reset() { [this.dx, this.dy, this.wheel, this.since] = [0, 0, 0, null]; }

  // Something changed at this time: send it, movement at most every few milliseconds.
  changed(time, now = true) {
    this.since ??= time;
    if (now) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), PAUSE_BETWEEN);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = null;
    const keys = [...new Set(Object.values(this.sources).flatMap((held) => [...held]))].slice(0, 32);
    const moved = this.dx || this.dy || this.wheel;
    const text = keys.join();
    if (this.running && (moved || text !== this.sent)) {
      this.seq += 1;
      this.send({ seq: this.seq, keys, dx: this.dx, dy: this.dy, wheel: this.wheel }, this.since ?? performance.now());
      this.sent = text;
    }
    this.reset();
  }

  hold(source, key, down, time) {
    const held = this.sources[source];
    if (held.has(key) === down) return;
    if (down) held.add(key);
    else held.delete(key);
    this.changed(time);
  }

  turn(x, y, time) {
    this.dx = clamp(this.dx + x, 10000);
    this.dy = clamp(this.dy + y, 10000);
    this.changed(time, false);
  }

  scroll(notches, time) {
    this.wheel = clamp(this.wheel + notches, 100);
    this.changed(time);
  }

  release() {
    Object.values(this.sources).forEach((held) => held.clear());
    this.changed(performance.now());
  }

  listen() {
    const typing = (event) => event.target.matches?.("input[type=number]");
    window.addEventListener("keydown", (event) => {
      if (typing(event) || event.metaKey || event.altKey) return;
      if (this.bound?.has(event.code)) {
        event.preventDefault();
        if (!event.repeat) this.hold("keys", event.code, true, event.timeStamp);
      } else if (SHORTCUTS[event.code] && !event.repeat && !event.ctrlKey) {
        event.preventDefault();
        this.shortcut(SHORTCUTS[event.code]);
      }
    });
    window.addEventListener("keyup", (event) => this.hold("keys", event.code, false, event.timeStamp));
    window.addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => this.release());
    document.addEventListener("pointerlockchange", () => {
      this.stage.classList.toggle("locked", this.locked);
      if (!this.locked) this.release();
    });
    this.stage.addEventListener("contextmenu", (event) => event.preventDefault());
    this.stage.addEventListener("mousedown", (event) => this.button(event));
    window.addEventListener("mouseup", (event) => this.hold("keys", `Mouse${event.button}`, false, event.timeStamp));
    document.addEventListener("mousemove", (event) => {
      if (this.locked) this.turn(event.movementX, event.movementY, event.timeStamp);
    });
    document.addEventListener("wheel", (event) => {
      if (this.locked) this.scroll(Math.sign(event.deltaY), event.timeStamp);
    });
  }

  // The first click captures the mouse; from then on buttons are keys.
  button(event) {
    if (!this.running || event.target.tagName !== "CANVAS") return;
    document.activeElement?.blur();
    if (!this.layout.look || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    if (this.locked) this.hold("keys", `Mouse${event.button}`, true, event.timeStamp);
    else this.stage.requestPointerLock()?.catch?.(() => {});
  }

  // Fingers: a pad for the four directions, a button for every other key, and the picture turns the view.
  touch() {
    const knob = make("i");
    const [pad, taps] = [make("div", { id: "pad" }, knob), make("div", { id: "taps" })];
    const steer = (event, over) => {
      const box = pad.getBoundingClientRect();
      const x = over ? 0 : (2 * (event.clientX - box.left)) / box.width - 1;
      const y = over ? 0 : (2 * (event.clientY - box.top)) / box.height - 1;
      knob.style.transform = `translate(${34 * clamp(x, 1)}px, ${34 * clamp(y, 1)}px)`;
      this.stick("touch", x, y, event.timeStamp);
    };
    pad.onpointerdown = (event) => { pad.setPointerCapture(event.pointerId); steer(event, false); };
    pad.onpointermove = (event) => { if (event.buttons) steer(event, false); };
    pad.onpointerup = pad.onpointercancel = (event) => steer(event, true);
    const rest = this.layout.bindings.filter(({ keys }) =>
      !keys.some((key) => this.layout.stick.includes(key)) && !keys.includes("Mouse"));
    for (const { keys, does } of rest) {
      const pair = keys.length === 2 && !this.layout.look;
      const label = (index) => (pair ? does.split(", ")[index] ?? `${does} ${index ? "+" : "−"}` : does.split(":")[0]);
      if (keys.includes("Wheel")) taps.append(this.tap("next item", (down, time) => this.scroll(down ? 1 : 0, time)));
      else (pair ? keys : keys.slice(0, 1)).forEach((key, index) =>
        taps.append(this.tap(label(index), (down, time) => this.hold("touch", key, down, time))));
    }
    element("touch").replaceChildren(pad, taps);
    element("touch").hidden = false;
    this.swipe();
  }

  tap(label, press) {
    const button = make("button", { textContent: label });
    const listener = (down) => (event) => {
      event.preventDefault();
      if (button.classList.contains("down") === down) return;
      button.classList.toggle("down", down);
      press(down, event.timeStamp);
    };
    button.onpointerdown = listener(true);
    button.onpointerup = button.onpointercancel = button.onpointerleave = listener(false);
    return button;
  }

  swipe() {
    let last = null;
    const views = element("views");
    views.onpointerdown = (event) => { last = event; };
    views.onpointermove = (event) => {
      if (!last || !this.layout.look) return;
      this.turn(2 * (event.clientX - last.clientX), 2 * (event.clientY - last.clientY), event.timeStamp);
      last = event;
    };
    views.onpointerup = views.onpointercancel = () => { last = null; };
  }

  stick(source, x, y, time) {
    const pushed = [x < -DEAD, x > DEAD, y < -DEAD, y > DEAD];
    this.layout.stick.forEach((key, index) => this.hold(source, key, pushed[index], time));
  }

  gamepad() {
    const pad = this.running && navigator.getGamepads?.().find((found) => found?.connected);
    if (!pad) return;
    const time = performance.now();
    this.stick("pad", pad.axes[0], pad.axes[1], time);
    this.layout.buttons.forEach((key, index) => this.hold("pad", key, pad.buttons[index]?.pressed ?? false, time));
    const [x, y] = [pad.axes[2] ?? 0, pad.axes[3] ?? 0];
    if (this.layout.look && Math.hypot(x, y) > DEAD) this.turn(TURN * x, TURN * y, time);
  }
}
