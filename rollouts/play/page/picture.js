// Frames as they come from the server → canvases, each as large as fits.
import { make } from "./dom.js";

const decoder = new TextDecoder();

// uint32 length of the header, the header as JSON, the pictures one after another.
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  const pictures = header.views.map((view) => {
    const bytes = new Uint8Array(buffer, place, view.size);
    place += view.size;
    return bytes;
  });
  return { header, pictures };
}

async function decode(view, bytes) {
  if (view.format === "jpeg") return createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const pixels = new Uint8ClampedArray(4 * view.width * view.height);
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    pixels[to] = bytes[from];
    pixels[to + 1] = bytes[from + 1];
    pixels[to + 2] = bytes[from + 2];
    pixels[to + 3] = 255;
  }
  return new ImageData(pixels, view.width, view.height);
}

export class Pictures {
  constructor(root, onDraw) {
    [this.root, this.onDraw] = [root, onDraw];
    this.labels = new Map();
    this.canvases = new Map();
    this.waiting = null;
    this.newest = 0;
    new ResizeObserver(() => this.fit()).observe(root);
  }

  headings(parts) {
    this.labels = new Map(parts.map((part) => [part.name, part.label]));
    this.root.replaceChildren();
    this.canvases.clear();
    this.newest = 0;
  }

  async take({ header, pictures }) {
    const images = await Promise.all(header.views.map((view, index) => decode(view, pictures[index])));
    if (header.frame < this.newest) return; // decoding was overtaken
    this.newest = header.frame;
    const asked = this.waiting !== null;
    this.waiting = { header, images };
    if (!asked) requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { header, images } = this.waiting;
    this.waiting = null;
    header.views.forEach((view, index) => {
      const context = this.canvas(view, header.views).getContext("2d", { alpha: false });
      if (images[index] instanceof ImageData) context.putImageData(images[index], 0, 0);
      else context.drawImage(images[index], 0, 0);
    });
    this.onDraw(header, performance.now());
  }

  canvas(view, views) {
    const key = `${view.part}/${view.camera}`;
    let canvas = this.canvases.get(key);
    if (canvas && canvas.width === view.width && canvas.height === view.height) return canvas;
    canvas?.closest("figure").remove();
    canvas = make("canvas", { width: view.width, height: view.height });
    const heading = make("b", { textContent: this.labels.get(view.part) ?? view.part });
    const several = views.filter((other) => other.part === view.part).length > 1;
    const figure = make("figure", {}, make("figcaption", {}, heading, several ? ` ${view.camera}` : ""), canvas);
    figure.dataset.view = key;
    this.root.append(figure);
    this.canvases.set(key, canvas);
    this.fit();
    return canvas;
  }

  // Beside each other or one below the other, whichever leaves more; whole multiples of the pixels where possible.
  fit() {
    const all = [...this.canvases.values()];
    if (!all.length) return;
    const style = getComputedStyle(this.root);
    const width = this.root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = this.root.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const gap = 16, caption = 24;
    const ratios = all.map((canvas) => canvas.width / canvas.height);
    const gaps = gap * (all.length - 1);
    const beside = Math.min(height - caption, (width - gaps) / ratios.reduce((sum, ratio) => sum + ratio, 0));
    const below = Math.min((height - gaps) / all.length - caption, width / Math.max(...ratios));
    this.root.classList.toggle("column", below > beside);
    const room = Math.max(beside, below, 32) * devicePixelRatio;
    all.forEach((canvas) => {
      const times = room / canvas.height;
      const tall = (times >= 4 ? Math.floor(times) * canvas.height : room) / devicePixelRatio;
      canvas.style.height = `${tall}px`;
      canvas.style.width = `${tall * canvas.width / canvas.height}px`;
      canvas.closest("figure").style.width = canvas.style.width;
    });
  }
}
