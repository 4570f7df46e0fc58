// The side panel: who acts, pause, episodes, recording, the world model's sampling, and the map of the keys.
import { element, make } from "./dom.js";

const NAMES = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Space: "Space", ShiftLeft: "Shift",
  ControlLeft: "Ctrl", Mouse0: "left click", Mouse1: "middle click", Mouse2: "right click", Mouse: "mouse", Wheel: "wheel",
};
const SLIDERS = { temperature: "temperature", "top-p": "top_p" };
const name = (key) => NAMES[key] ?? key.replace(/^(Key|Digit)/, "");
// Many digits in a row are shown as their first and last.
function short(keys) {
  const digits = keys.filter((key) => key.startsWith("Digit"));
  const others = keys.filter((key) => !digits.includes(key)).map(name);
  return digits.length > 2 ? [`${name(digits[0])} – ${name(digits.at(-1))}`, ...others] : keys.map(name);
}

export class Panel {
  constructor(say, notice) {
    [this.say, this.notice] = [say, notice];
    this.recording = false;
    this.state = { paused: false, by: "person" };
    this.doing = {
      hand: () => this.say({ type: "hand", to: this.state.by === "person" ? "agent" : "person" }),
      pause: () => this.say({ type: "pause", on: !this.state.paused }),
      step: () => this.say({ type: "step" }),
      record: () => this.say({ type: "record", on: !this.recording }),
      next: () => this.say({ type: "reset" }),
    };
    for (const [id, act] of Object.entries(this.doing)) {
      element(id).onclick = (event) => { event.currentTarget.blur(); act(); };
    }
    element("seed").onchange = ({ target }) => {
      const seed = Number.parseInt(target.value, 10);
      if (Number.isSafeInteger(seed) && seed >= 0) this.say({ type: "reset", seed });
      target.blur();
    };
    for (const [id, name] of Object.entries(SLIDERS)) {
      element(id).oninput = ({ target }) => this.sample(name, Number(target.value));
      element(id).onchange = ({ target }) => target.blur();
    }
    element("top-k").onchange = ({ target }) => {
      const text = target.value.trim(), count = Number(text);
      const most = Number(target.max);
      const wrong = target.validity.badInput || (text && !(Number.isInteger(count) && count > 0 && count <= most));
      target.blur();
      if (!wrong) return this.sample("top_k", text ? count : null);
      this.notice(`top-k is a whole number from 1 to ${most}, or nothing`);
      this.sliders(this.wanted);
    };
    element("file").onchange = ({ target }) => { this.upload(target.files[0]); target.value = ""; };
    const drop = element("drop");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      window.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files.length) this.upload(event.dataTransfer.files[0]);
      });
    }
  }

  shortcut(id) {
    if (!element(id).hidden && !element(id).disabled) this.doing[id]();
  }

  // What could only be pressed in vain, before the session is ready and after its end, does not look pressable.
  enable(on) {
    for (const control of element("panel").querySelectorAll("button, input")) control.disabled = !on;
    element("drop").tabIndex = on ? 0 : -1;
  }

  session({ id, limit }) { [this.id, this.limit] = [id, limit]; }

  hello({ layout, agent, world }) {
    [this.agent, this.asked] = [agent, 0];
    element("hand").hidden = agent === null;
    element("world").hidden = !world;
    element("keys").replaceChildren(...layout.bindings.flatMap(({ keys, does }) => [
      make("dt", {}, ...short(keys).map((key) => make("kbd", { textContent: key }))),
      make("dd", { textContent: does }),
    ]));
  }

  status(state) {
    this.state = state;
    this.recording = state.recording;
    this.mark("hand", state.by === "agent", state.by === "agent" ? "Take back" : `Hand to ${this.agent}`);
    this.mark("pause", state.paused, state.paused ? "Go on" : "Pause");
    this.mark("record", state.recording, state.recording ? "Stop recording" : "Record");
    if (document.activeElement !== element("seed")) element("seed").value = state.seed;
    // What the server said before it took in what was last asked for is out of date.
    if (state.sampling && !this.sampling && state.sampling.seq >= this.asked) this.sliders(state.sampling);
  }

  mark(id, on, text) {
    element(id).classList.toggle("on", on);
    element(id).firstElementChild.textContent = text;
  }

  // The session is over, and with it what it recorded.
  ended() {
    this.recording = false;
    this.mark("record", false, "Record");
  }

  sliders(sampling) {
    this.wanted = sampling;
    for (const [id, name] of Object.entries(SLIDERS)) {
      const value = sampling[name];
      element(id).max = Math.max(element(id).defaultMax ??= element(id).max, value);
      element(id).value = value;
      element(`${id}-value`).textContent = value.toFixed(2) - value ? Number(value.toPrecision(4)) : value.toFixed(2);
    }
    if (document.activeElement !== element("top-k")) element("top-k").value = sampling.top_k ?? "";
  }

  // A slider sends a value for every pixel it moves: one message in a tenth of a second is enough.
  sample(name, value) {
    const wanted = { ...this.wanted, [name]: value };
    if (name === "top_k" && value !== null) wanted.top_p = 1; // they exclude each other
    if (name === "top_p" && value < 1) wanted.top_k = null;
    this.sliders(wanted);
    this.sampling ??= setTimeout(() => {
      this.sampling = null;
      this.say({ type: "sampling", ...this.wanted, seq: ++this.asked });
    }, 100);
  }

  async upload(file) {
    if (!file || element("world").hidden || element("file").disabled) return;
    if (file.size > this.limit) {
      this.notice(`${file.name} is larger than ${this.limit / 1e6} MB`);
      return;
    }
    this.notice(`reading ${file.name} …`);
    try {
      const answer = await fetch(`upload/${this.id}${location.search}`, { method: "POST", body: file });
      if (!answer.ok) this.notice(await answer.text());
    } catch {
      this.notice("the upload did not arrive; try again");
    }
  }

  recorded({ url, folder, episodes, steps }) {
    const many = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
    const where = `${many(steps, "step")}, ${many(episodes, "episode")} in ${folder}`;
    const link = make("a", { href: url + location.search, download: "", textContent: "Download mp4" });
    element("recorded").prepend(make("li", {}, link, make("span", { textContent: where })));
    element("recordings").hidden = false;
  }
}
