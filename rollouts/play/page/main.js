// One session: a socket, and what it feeds. Everything visible is in the other modules.
import { element } from "./dom.js";
import { Hands } from "./hands.js";
import { Hud } from "./hud.js";
import { Panel } from "./panel.js";
import { Pictures, unpack } from "./picture.js";

const hud = new Hud();
const pictures = new Pictures(element("views"), (header, time) => {
  hud.drawn(header, time);
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "seen", frame: header.frame }));
});
const panel = new Panel(say, notice);
const hands = new Hands(element("stage"), (input, felt) => {
  hud.felt(input.seq, felt);
  say({ type: "input", ...input });
}, (shortcut) => panel.shortcut(shortcut));

let socket = null;
let ready = false;
let failure = "";

function say(message) {
  if (ready && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  [ready, failure] = [false, ""];
  panel.enable(false);
  veil("Connecting …");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/play${location.search}`);
  socket = mine;
  mine.binaryType = "arraybuffer";
  mine.onmessage = (event) => {
    if (typeof event.data !== "string") return pictures.take(unpack(event.data));
    const message = JSON.parse(event.data);
    hearing[message.type]?.(message);
  };
  mine.onclose = (event) => {
    ready = false;
    hands.stop();
    panel.ended();
    panel.enable(false);
    element("notice").hidden = true;
    const refused = event.code === 1006 && !failure && !hud.frames;
    veil(failure || (refused ? "The server refused the connection; open the address that it printed."
      : "The connection has ended."), true);
  };
}

const hearing = {
  session(message) { panel.session(message); veil("Building the environment …"); },
  hello(message) {
    pictures.headings(message.parts);
    hands.use(message.layout);
    panel.hello(message);
    veil("Warming up …");
  },
  ready() {
    ready = true;
    hud.restart();
    hands.start();
    panel.enable(true);
    veil(null);
  },
  status(message) {
    panel.status(message);
    hud.status(message);
    element("instruction").textContent = message.instruction;
  },
  notice(message) { notice(message.text); },
  recorded(message) { panel.recorded(message); },
  error(message) { failure = sentence(message.text); },
};

function sentence(text) {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

let fading = 0;
function notice(text) {
  const box = element("notice");
  box.textContent = sentence(text);
  box.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { box.hidden = true; }, Math.max(4000, 70 * text.length)); // time to read it
}

function veil(text, over = false) {
  element("veil").hidden = text === null;
  element("veil-text").textContent = text ?? "";
  element("again").hidden = !over;
}

element("again").onclick = connect;
window.addEventListener("beforeunload", (event) => {
  if (ready && (hands.locked || panel.recording)) event.preventDefault(); // Ctrl+W closes tabs: sprinting must not
});
connect();
