// One image with shapes over it, to zoom, pan, select, move, resize and draw on with mouse, pen and fingers.
//
// const stage = new Stage(element, { onSelect(shape), onChange(shape, box), onDraw(box), onPoint(x, y) });
// stage.show({ src, width, height, alt }); stage.draw(shapes); stage.select(shape); stage.mode = "select" | "draw" | "point";
// A shape is { box: [x1, y1, x2, y2], mask: "svg path" | null, className, label, fixed }; boxes are in pixels of the image.

import { make } from "./dom.js";

const LEAST = 2; // pixels: a side of a box
const DRAG = 4; // screen pixels before a press is a drag
const CLOSEST = 40; // largest magnification
const CORNERS = [[0, 1], [0.5, 1], [1, 1], [1, 0.5], [1, 0], [0.5, 0], [0, 0], [0, 0.5]];

export class Stage {
  constructor(root, events = {}) {
    this.events = events;
    this.mode = "select";
    this.shapes = [];
    this.selected = null;
    this.size = { width: 1, height: 1 };
    this.view = { scale: 1, x: 0, y: 0, fitted: true };
    this.pointers = new Map();
    this.image = make("img", { alt: "", draggable: "false" });
    this.overlay = make("svg:svg", { "aria-hidden": "true" });
    this.tags = make("div", { class: "tags", "aria-hidden": "true" });
    this.sheet = make("div", { class: "sheet" }, this.image, this.overlay, this.tags);
    this.missing = make("p", { class: "missing", hidden: true });
    this.root = root;
    root.classList.add("stage");
    root.append(this.sheet, this.missing);
    this.image.addEventListener("error", () => this.fail());
    this.image.addEventListener("load", () => root.classList.remove("loading"));
    root.addEventListener("pointerdown", (event) => this.down(event));
    root.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, (event) => this.up(event, name === "pointercancel"));
    root.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("dblclick", (event) => event.preventDefault());
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(root);
  }

  close() {
    this.observer.disconnect();
  }

  // ---- what is shown ---------------------------------------------------------------------------------------------

  show({ src, width, height, alt }) {
    this.size = { width: Math.max(1, width), height: Math.max(1, height) };
    this.failed = false;
    this.missing.hidden = true;
    this.image.hidden = false;
    this.root.classList.add("loading");
    this.image.src = src;
    this.image.alt = alt;
    this.overlay.setAttribute("viewBox", `0 0 ${this.size.width} ${this.size.height}`);
    this.gesture = null;
    this.pointers.clear();
    this.fit();
  }

  async fail() {
    this.failed = true;
    this.root.classList.remove("loading");
    this.image.hidden = true;
    this.missing.hidden = false;
    const answer = await fetch(this.image.src, { credentials: "omit" }).catch(() => null);
    const body = answer && (await answer.json().catch(() => null));
    this.missing.textContent = (body && body.error) || "The image cannot be shown.";
  }

  draw(shapes) {
    this.shapes = shapes;
    this.nodes = new Map();
    const nodes = shapes.map((shape) => {
      const node = make("svg:g", { class: `shape ${shape.className || ""}` });
      if (shape.mask) node.append(make("svg:path", { d: shape.mask }));
      if (shape.point) node.append(make("svg:circle", { cx: shape.box[0], cy: shape.box[1], r: 6 / this.view.scale }));
      else node.append(make("svg:rect", { class: "halo" }), make("svg:rect", { class: "edge" }));
      this.nodes.set(shape, node);
      this.place(shape, shape.box);
      return node;
    });
    this.handles = make("svg:g", { class: "handles" });
    this.overlay.replaceChildren(...nodes, this.handles);
    if (!shapes.includes(this.selected)) this.selected = null;
    this.select(this.selected);
  }

  place(shape, box) {
    const node = this.nodes.get(shape);
    if (!node || shape.point) return;
    for (const rect of node.querySelectorAll("rect")) {
      const [x1, y1, x2, y2] = box;
      for (const [name, value] of Object.entries({ x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) })) rect.setAttribute(name, value);
    }
  }

  select(shape) {
    this.selected = shape;
    for (const [one, node] of this.nodes || []) node.classList.toggle("selected", one === shape);
    if (shape && this.nodes.get(shape)) this.overlay.append(this.nodes.get(shape), this.handles);
    this.paintHandles(shape && shape.box);
  }

  paintHandles(box) {
    const { selected, view } = this;
    const shown = selected && !selected.fixed && box;
    this.handles.replaceChildren(...(shown ? CORNERS : []).map(([ax, ay]) => {
      const half = 5 / view.scale;
      const x = box[0] + ax * (box[2] - box[0]);
      const y = box[1] + ay * (box[3] - box[1]);
      return make("svg:rect", { x: x - half, y: y - half, width: 2 * half, height: 2 * half });
    }));
    const label = selected && selected.label && box;
    this.tags.replaceChildren(...(label ? [this.tag(selected, box)] : []));
    if (label) this.keepInside(this.tags.firstChild);
  }

  // A tag at an edge is moved until all of it can be read.
  keepInside(tag) {
    const left = tag.offsetLeft + this.view.x;
    const most = this.root.clientWidth - tag.offsetWidth - 4;
    const to = Math.max(4, Math.min(left, most));
    if (to !== left && nearby(left, tag.offsetWidth, this.root.clientWidth)) tag.style.left = `${to - this.view.x}px`;
  }

  tag(shape, [x1, y1, , y2]) {
    const above = (y1 * this.view.scale) + this.view.y > 30;
    const node = make("span", { class: `tag ${shape.className || ""} ${above ? "" : "under"}` }, shape.label);
    node.style.left = `${x1 * this.view.scale}px`;
    node.style.top = `${(above ? y1 : y2) * this.view.scale}px`;
    return node;
  }

  // ---- zoom and pan ----------------------------------------------------------------------------------------------

  fit() {
    const { clientWidth, clientHeight } = this.root;
    const scale = Math.min((clientWidth - 16) / this.size.width, (clientHeight - 16) / this.size.height, 4);
    this.view = { scale: Math.max(scale, 0.01), fitted: true };
    this.view.x = (clientWidth - this.size.width * this.view.scale) / 2;
    this.view.y = (clientHeight - this.size.height * this.view.scale) / 2;
    this.paint();
  }

  resized() {
    if (this.view.fitted) this.fit();
    else this.paint();
  }

  // Magnifies by a factor about a point of the element, its middle by default.
  zoom(factor, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    const { view } = this;
    const least = Math.min(0.05, view.scale);
    const scale = Math.min(CLOSEST, Math.max(least, view.scale * factor));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    view.fitted = false;
    this.paint();
  }

  // Brings a box into the middle, filling about `share` of the view.
  focus([x1, y1, x2, y2], share = 0.35) {
    const { clientWidth, clientHeight } = this.root;
    const scale = Math.min(CLOSEST, (share * clientWidth) / Math.max(1, x2 - x1), (share * clientHeight) / Math.max(1, y2 - y1));
    this.view = { scale, fitted: false, x: clientWidth / 2 - (scale * (x1 + x2)) / 2, y: clientHeight / 2 - (scale * (y1 + y2)) / 2 };
    this.paint();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.view.fitted = false;
    this.paint();
  }

  // The middle of what is visible, in pixels of the image.
  centre() {
    const { clientWidth, clientHeight } = this.root;
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    return [clamp((clientWidth / 2 - this.view.x) / this.view.scale, this.size.width), clamp((clientHeight / 2 - this.view.y) / this.view.scale, this.size.height)];
  }

  paint() {
    const { scale, x, y } = this.view;
    const { style } = this.sheet;
    style.left = `${x}px`;
    style.top = `${y}px`;
    style.width = `${this.size.width * scale}px`;
    style.height = `${this.size.height * scale}px`;
    this.image.classList.toggle("pixels", scale > 3);
    if (this.handles) this.paintHandles(this.selected && ((this.gesture && this.gesture.box) || this.selected.box));
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.inElement(event);
    if (event.shiftKey) this.pan(-(event.deltaX || event.deltaY), 0);
    else this.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY)) * 0.0025), x, y);
  }

  // ---- pointers --------------------------------------------------------------------------------------------------

  inElement(event) {
    const frame = this.root.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  inImage(event) {
    const [x, y] = this.inElement(event);
    return [(x - this.view.x) / this.view.scale, (y - this.view.y) / this.view.scale];
  }

  down(event) {
    if (event.button > 1) return;
    this.root.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.inElement(event));
    if (this.pointers.size === 2) {
      this.abandon();
      this.gesture = { kind: "pinch" };
      return;
    }
    if (this.pointers.size > 2) return;
    const at = this.inImage(event);
    const grabbed = event.button === 1 || this.mode !== "select" ? null : this.handleAt(at, event.pointerType);
    const kind = event.button === 1 ? "pan" : this.mode === "draw" ? "draw" : grabbed || "pan";
    this.gesture = { kind, start: at, screen: this.inElement(event), moved: false, box: null, from: this.selected && [...this.selected.box] };
    event.preventDefault();
    this.root.focus({ preventScroll: true });
  }

  // The part of the selected shape under a point: "move", or which sides a handle takes along.
  handleAt([x, y], pointer) {
    const { selected } = this;
    if (!selected || selected.fixed) return null;
    const [x1, y1, x2, y2] = selected.box;
    const reach = (pointer === "mouse" ? 8 : 22) / this.view.scale;
    for (const [ax, ay] of CORNERS) {
      const [hx, hy] = [x1 + ax * (x2 - x1), y1 + ay * (y2 - y1)];
      if (Math.abs(x - hx) <= reach && Math.abs(y - hy) <= reach) return [ax, ay];
    }
    return x >= x1 && x <= x2 && y >= y1 && y <= y2 ? "move" : null;
  }

  move(event) {
    const { gesture } = this;
    if (!this.pointers.has(event.pointerId)) {
      this.hover(event);
      return;
    }
    const before = this.pointers.get(event.pointerId);
    const now = this.inElement(event);
    if (!gesture) return;
    if (gesture.kind === "pinch") {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId);
      if (other) this.pinch(other[1], before, now);
      this.pointers.set(event.pointerId, now);
      return;
    }
    this.pointers.set(event.pointerId, now);
    if (!gesture.moved && Math.hypot(now[0] - gesture.screen[0], now[1] - gesture.screen[1]) < DRAG) return;
    gesture.moved = true;
    if (gesture.kind === "pan") {
      this.pan(now[0] - before[0], now[1] - before[1]);
      return;
    }
    gesture.box = this.changed(gesture, this.inImage(event));
    if (gesture.kind === "draw") this.preview(gesture.box);
    else {
      this.place(this.selected, gesture.box);
      this.paintHandles(gesture.box);
    }
  }

  hover(event) {
    const part = this.mode === "select" && event.pointerType === "mouse" ? this.handleAt(this.inImage(event), "mouse") : null;
    const names = { "0,0": "nwse", "1,1": "nwse", "0,1": "nesw", "1,0": "nesw", "0.5,0": "ns", "0.5,1": "ns", "0,0.5": "ew", "1,0.5": "ew" };
    this.root.style.cursor = this.mode !== "select" ? "crosshair" : part === "move" ? "move" : part ? `${names[part]}-resize` : "";
  }

  pinch(other, before, now) {
    const spread = (a, b) => Math.max(10, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [bx, by] = middle(other, before);
    const [nx, ny] = middle(other, now);
    this.pan(nx - bx, ny - by);
    this.zoom(spread(other, now) / spread(other, before), nx, ny);
  }

  // The box that a gesture has come to, inside the image and with sides of LEAST or more.
  changed({ kind, start, from }, [x, y]) {
    const { width, height } = this.size;
    const clampX = (value) => Math.min(Math.max(value, 0), width);
    const clampY = (value) => Math.min(Math.max(value, 0), height);
    if (kind === "draw") return ordered([clampX(start[0]), clampY(start[1]), clampX(x), clampY(y)]);
    const [x1, y1, x2, y2] = from;
    const [dx, dy] = [x - start[0], y - start[1]];
    if (kind === "move") {
      const mx = Math.min(Math.max(dx, -x1), width - x2);
      const my = Math.min(Math.max(dy, -y1), height - y2);
      return [x1 + mx, y1 + my, x2 + mx, y2 + my];
    }
    const [ax, ay] = kind;
    const out = [
      ax === 0 ? Math.min(clampX(x1 + dx), x2 - LEAST) : x1, ay === 0 ? Math.min(clampY(y1 + dy), y2 - LEAST) : y1,
      ax === 1 ? Math.max(clampX(x2 + dx), x1 + LEAST) : x2, ay === 1 ? Math.max(clampY(y2 + dy), y1 + LEAST) : y2,
    ];
    return out;
  }

  preview(box) {
    if (!this.ghost) this.ghost = make("svg:g", { class: "shape ghost" }, make("svg:rect", { class: "halo" }), make("svg:rect", { class: "edge" }));
    this.overlay.append(this.ghost);
    this.nodes.set("ghost", this.ghost);
    this.place("ghost", box);
  }

  abandon() {
    if (this.ghost) this.ghost.remove();
    if (this.gesture && this.gesture.box && this.selected) this.place(this.selected, this.selected.box);
    this.gesture = null;
    if (this.handles) this.paintHandles(this.selected && this.selected.box);
  }

  up(event, cancelled) {
    const { gesture } = this;
    this.pointers.delete(event.pointerId);
    if (!gesture) return;
    if (gesture.kind === "pinch") {
      if (!this.pointers.size) this.gesture = null;
      return;
    }
    this.gesture = null;
    if (this.ghost) this.ghost.remove();
    if (cancelled) {
      this.abandon();
      return;
    }
    if (!gesture.moved) this.click(gesture.start);
    else if (gesture.kind === "draw") {
      const [x1, y1, x2, y2] = gesture.box;
      if (x2 - x1 >= LEAST && y2 - y1 >= LEAST && this.events.onDraw) this.events.onDraw(rounded(gesture.box));
    } else if (gesture.kind !== "pan" && this.events.onChange) this.events.onChange(this.selected, rounded(gesture.box));
  }

  // A press without a drag: a point, or the next of the shapes below it, the smallest first.
  click([x, y]) {
    if (this.mode === "point") {
      const inside = x >= 0 && y >= 0 && x <= this.size.width && y <= this.size.height;
      if (inside && this.events.onPoint) this.events.onPoint(x, y);
      return;
    }
    const reach = 4 / this.view.scale;
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    const under = this.shapes
      .filter(({ box, hidden }) => !hidden && x >= box[0] - reach && x <= box[2] + reach && y >= box[1] - reach && y <= box[3] + reach)
      .sort((a, b) => area(a) - area(b));
    const next = under[(under.indexOf(this.selected) + 1) % under.length] || null;
    if (this.events.onSelect) this.events.onSelect(under.length ? next : null);
  }
}

const nearby = (left, width, room) => left + width > -width && left < room + width;
const ordered = ([x1, y1, x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
export const rounded = (box) => box.map((value) => Math.round(value * 1000) / 1000);
