// Correcting: keep, reject, move, resize, draw, delete, change class, accept or reject masks, and finish images.

import { Outbox, newId } from "./api.js";
import { BoxPanel } from "./boxes.js";
import { setKeys } from "./correct_keys.js";
import { make } from "./dom.js";
import { RowList } from "./list.js";
import { Stage, rounded } from "./stage.js";

const SETTLED = 400; // milliseconds without a key before a box moved by keys is saved
const SAID = { keep: "kept", reject: "rejected", forget: "taken back" };

class Correct {
  constructor(root, page) {
    this.page = page;
    this.session = page.session;
    this.row = null;
    this.selected = null; // the name of a box: its class and place as the labels have them
    this.last = Promise.resolve();
    this.masks = new Outbox(() => this.showMasking());
    this.judging = new Map(); // boxes that are decided, and not on disk yet: how many decisions of each
    this.coming = new Set(); // boxes that are drawn, and not on disk yet
    this.moving = new Map(); // where boxes were moved to, while that is not on disk yet
    this.drawing = false;
    this.shown = { masks: true, boxes: true, left: false };
    const area = make("div", { tabindex: "0", role: "application", "aria-label": "Image with boxes", "aria-describedby": "stage-help" });
    this.stage = new Stage(area, {
      onSelect: (shape) => this.choose(shape && shape.key),
      onChange: (shape, box) => this.moveBox(shape.key, box),
      onDraw: (box) => this.addBox(box),
    });
    this.panel = new BoxPanel(this.session.classes, {
      choose: (key) => this.choose(key, true),
      name: (name) => this.pickClass(name),
      judge: (verdict) => this.judge(verdict),
    });
    this.list = new RowList(page, { open: (row) => this.open(row), act: (work) => this.act(work) });
    this.tools = this.makeTools();
    this.caption = make("p", { class: "caption", dir: "auto", hidden: true });
    this.notes = make("p", { class: "notes faint", hidden: true });
    this.masking = make("span", { class: "masking faint", role: "status" });
    this.title = make("h2", { class: "image-name", tabindex: "-1" });
    root.append(
      this.list.root,
      make("section", { class: "centre", "aria-label": "Image" },
        make("div", { class: "image-head" }, this.title, this.masking),
        area, this.caption, this.notes, this.tools.bar,
        make("p", { id: "stage-help", class: "unseen" }, "J and K go through the boxes, Y keeps, N rejects, Shift with arrows moves a box, Shift with Alt and arrows resizes it, B draws one.")),
      this.panel.root,
    );
    this.stopNews = page.onNews((rows) => this.heard(rows));
    setKeys(this);
  }

  makeTools() {
    const button = (words, key, action, attributes = {}) =>
      make("button", { type: "button", onclick: action, title: key ? `${words} (${key})` : words, ...attributes }, make("span", {}, words), key ? make("kbd", { "aria-hidden": "true" }, key) : null);
    const tools = {
      back: button("Previous", "←", () => this.step(-1)),
      next: button("Next", "→", () => this.step(1)),
      draw: button("Draw", "B", () => this.setDrawing(!this.drawing), { "aria-pressed": "false" }),
      undo: button("Undo", "Z", () => this.save(() => this.back("undo"))),
      redo: button("Redo", "⇧Z", () => this.save(() => this.back("redo"))),
      fit: button("Fit", "0", () => this.stage.fit()),
      closer: button("Zoom in", "+", () => this.stage.zoom(1.5), { class: "icon" }),
      wider: button("Zoom out", "−", () => this.stage.zoom(1 / 1.5), { class: "icon" }),
      checked: button("Checked", "C", () => this.finish("checked"), { class: "good" }),
      nothing: button("Nothing here", "E", () => this.finish("nothing")),
      out: button("Leave out", "X", () => this.finish("reject"), { class: "bad" }),
      again: button("Not checked", "V", () => this.finish("forget"), { hidden: true }),
    };
    const check = (name, words) => make("label", { class: "check" }, make("input", { type: "checkbox", checked: this.shown[name], onchange: (event) => { this.shown[name] = event.target.checked; this.paint(); } }), words);
    tools.bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Image" },
      make("div", { class: "group step" }, tools.back, tools.next),
      this.panel.judging,
      make("div", { class: "group edit" }, tools.draw, tools.undo, tools.redo),
      make("div", { class: "group wide" }, tools.wider, tools.fit, tools.closer),
      make("div", { class: "group wide" }, this.session.masks ? check("masks", "Masks") : null, check("left", "Below thresholds")),
      make("div", { class: "group finish" }, tools.again, tools.out, tools.nothing, tools.checked));
    return tools;
  }

  // ---- what is shown ---------------------------------------------------------------------------------------------

  async start() {
    await this.list.load();
    const first = this.list.first();
    if (first) await this.open(first.row);
    else this.title.textContent = "No image is in this list.";
  }

  step(by) {
    this.act(() => this.list.step(by));
  }

  // Only ever called from within `act`, so that no decision is on its way meanwhile.
  async open(row) {
    const mine = (this.opening = {});
    let told;
    try {
      told = await this.page.get(`row/${row}`);
    } catch (error) {
      this.page.complain(error.message);
      return;
    }
    if (mine !== this.opening) return;
    const another = !this.row || this.row.row !== row;
    this.take(told);
    if (!another) return;
    this.selected = null;
    this.judging.clear();
    this.coming.clear();
    this.moving.clear();
    this.setDrawing(false);
    this.stage.root.style.setProperty("--ratio", told.height / told.width);
    this.stage.show({ src: `picture/${row}`, width: told.width, height: told.height, alt: told.image });
    this.paint();
    const first = this.visible().find((box) => !box.verdict) || this.visible()[0];
    if (first) this.choose(first.key);
    this.page.say(`${told.image}, ${this.visible().length} boxes${told.verdict === "checked" ? ", checked" : ""}`);
    const after = this.list.after();
    if (after) new Image().src = `picture/${after.row}`;
  }

  take(told) {
    if (this.row && this.row.row === told.row && told.changes < this.row.changes) return;
    for (const box of told.boxes) box.key = JSON.stringify([box.phrase, box.bbox]);
    this.row = told;
    if (!this.coming.has(this.selected) && !told.boxes.some((box) => box.key === this.selected)) this.selected = null;
    this.list.update({ row: told.row, state: told.flag });
    this.paint();
  }

  // A box of the image that is shown, or of the one that was shown when something was decided.
  box(key = this.selected, row = this.row) {
    const now = row && this.row.row === row.row ? this.row : row;
    return now && now.boxes.find((box) => box.key === key);
  }

  visible() {
    return this.row ? this.row.boxes.filter((box) => !box.hidden || this.shown.left || box.key === this.selected) : [];
  }

  paint() {
    const { row } = this;
    if (!row) return;
    const crowded = row.boxes.length > 40 ? " crowded" : "";
    const boxes = this.visible();
    this.title.replaceChildren(make("bdi", {}, row.image + (this.session.captions ? ` (caption ${row.caption_index})` : "")));
    this.title.title = row.image;
    this.caption.textContent = row.caption || "";
    this.caption.hidden = !row.caption;
    this.notes.textContent = [row.reason && `Failed: ${row.reason}`, ...row.notes].filter(Boolean).join(" ");
    this.notes.hidden = !this.notes.textContent;
    const shapes = this.shown.boxes ? boxes.map((box) => ({
      key: box.key, box: this.moving.get(box.key) || box.place, mask: this.shown.masks ? box.mask : null, label: this.labelOf(box),
      className: `${this.panel.hue(box.name)} ${box.verdict || "open"}${box.hidden ? " below" : ""}${row.verdict === "reject" ? " reject" : ""}${crowded}`,
    })) : [];
    this.stage.selected = shapes.find((shape) => shape.key === this.selected) || null;
    this.stage.draw(shapes);
    this.panel.show(boxes, this.selected, this.row);
    for (const [name, state] of [["checked", "checked"], ["out", "reject"]]) this.tools[name].setAttribute("aria-pressed", String(row.verdict === state));
    this.tools.again.hidden = !row.verdict;
    this.stage.root.dataset.verdict = row.verdict || "";
  }

  labelOf(box) {
    const score = box.score === null ? "" : ` ${box.score.toFixed(2)}`;
    return `${box.name}${score}${box.verdict ? ` · ${SAID[box.verdict]}` : ""}`;
  }

  choose(key, focus = false) {
    const before = this.selected;
    this.selected = key || null;
    if (before !== this.selected) this.settle();
    this.paint();
    const box = this.box();
    if (box && focus) this.stage.root.focus({ preventScroll: true });
    if (box && before !== this.selected) this.page.say(`${this.labelOf(box)}, ${this.visible().indexOf(box) + 1} of ${this.visible().length}`);
  }

  stepBox(by) {
    const boxes = this.visible();
    if (!boxes.length) return;
    const at = boxes.findIndex((box) => box.key === this.selected);
    this.choose(boxes[(at + by + boxes.length) % boxes.length].key);
  }

  letGo() {
    if (this.drawing) this.setDrawing(false);
    else this.choose(null);
  }

  setDrawing(on) {
    this.drawing = on;
    this.stage.mode = on ? "draw" : "select";
    this.tools.draw.setAttribute("aria-pressed", String(on));
    this.stage.root.classList.toggle("drawing", on);
    if (on) this.page.say(`drawing ${this.panel.current}: drag over the object, or press Enter for a box in the middle`);
  }

  // ---- decisions: one after the other, each on disk before the next begins -----------------------------------------
  // Each speaks of the image and the box that were shown when it was made, however long those before it take.

  // Does one thing after another; what was moved by keys before it goes first.
  act(work) {
    this.settle();
    this.last = this.last.then(work).catch((error) => this.page.complain(error.message));
    return this.last;
  }

  // The same for what changes the run: the page does not say "saved" before the last of them is.
  save(work) {
    const release = this.page.outbox.hold();
    return this.act(work).finally(release);
  }

  async decide(row, body, words) {
    const id = newId();
    const told = await this.page.send("decide", { id, tab: this.page.tab, row: row.row, image: row.image, ...body });
    if (!told) {
      this.paint();
      return null;
    }
    if (this.row && this.row.row === told.row) this.take(told);
    else this.list.update({ row: told.row, state: told.flag });
    if (words) this.page.say(words);
    return { id, told };
  }

  // Changes the box of a name; a moved one gets its mask anew.
  async change(row, key, change, words, masked = false) {
    const box = this.box(key, row);
    if (!box) return;
    const made = await this.decide(row, { changes: [{ phrase: box.phrase, bbox: box.bbox, ...change }] }, `${box.name} ${words}`);
    if (made && masked) this.askMask(made, box.phrase, box.bbox);
  }

  askMask({ id, told }, phrase, bbox) {
    if (!this.session.segments) return;
    const body = { row: told.row, image: told.image, phrase, bbox, tab: this.page.tab, follows: id };
    this.masks.send("mask", body).then((after) => {
      if (this.row && this.row.row === after.row) this.take(after);
    }).catch((error) => this.page.complain(`No mask: ${error.message}`));
  }

  showMasking() {
    this.masking.textContent = this.masks.waiting ? "Making the mask…" : "";
  }

  judge(verdict) {
    const { row, selected: key } = this;
    if (!row || !key) return;
    const { judging } = this;
    judging.set(key, (judging.get(key) || 0) + 1);
    this.save(async () => {
      await this.change(row, key, { do: verdict }, SAID[verdict]);
      if (judging.get(key) > 1) judging.set(key, judging.get(key) - 1);
      else judging.delete(key);
    });
    if (verdict !== "forget") this.chooseOpen(key);
  }

  // Goes on to the next box that nothing is decided about.
  chooseOpen(key) {
    const boxes = this.visible();
    const from = boxes.findIndex((one) => one.key === key);
    const rest = [...boxes.slice(from + 1), ...boxes.slice(0, Math.max(0, from))];
    const next = rest.find((one) => !one.verdict && !this.judging.has(one.key));
    if (next) this.choose(next.key);
    else this.last.then(() => this.page.say("every box is decided: C says that the image is checked"));
  }

  judgeMask(accept) {
    const { row, selected: key } = this;
    this.save(async () => {
      const box = this.box(key, row);
      if (!box || !(box.mask || box.mask_verdict)) return;
      const what = accept ? "mask_accept" : box.mask_verdict === "reject" ? "mask_restore" : "mask_reject";
      await this.change(row, key, { do: what }, what.replace("_", " ") + "ed");
    });
  }

  pickClass(name) {
    if (!name) return;
    this.panel.setCurrent(name);
    const { row, selected: key } = this;
    if (!key || this.drawing) {
      this.page.say(`draws ${name}`);
      return;
    }
    this.save(async () => {
      const box = this.box(key, row);
      if (box && box.name !== name) await this.change(row, key, { do: "keep", to_phrase: name }, `is ${name}`);
    });
  }

  moveBox(key, place, row = this.row) {
    const { moving } = this;
    moving.set(key, place);
    return this.save(async () => {
      await this.change(row, key, { do: "keep", to_bbox: place }, "moved", true);
      if (moving.get(key) !== place) return;
      moving.delete(key);
      this.paint();
    });
  }

  // The new box is the chosen one at once, so that what is pressed next speaks of it.
  addBox(box) {
    const { row, coming } = this;
    const phrase = this.panel.current;
    const key = JSON.stringify([phrase, box]);
    this.setDrawing(false);
    coming.add(key);
    this.choose(key);
    this.save(async () => {
      const made = await this.decide(row, { changes: [{ phrase, bbox: box, do: "draw" }] }, `${phrase} added`);
      coming.delete(key);
      if (made) this.askMask(made, phrase, box);
      if (this.selected !== key) return;
      if (made) this.stage.root.focus({ preventScroll: true });
      else this.choose(null);
    });
  }

  drawInMiddle() {
    const [x, y] = this.stage.centre();
    const { width, height } = this.stage.size;
    const half = Math.max(2, Math.min(width, height) / 12);
    const left = Math.min(Math.max(0, x - half), Math.max(0, width - 2 * half));
    const top = Math.min(Math.max(0, y - half), Math.max(0, height - 2 * half));
    this.addBox(rounded([left, top, Math.min(width, left + 2 * half), Math.min(height, top + 2 * half)]));
  }

  // Speaks of the image that was shown when the key was pressed: a second press must not finish the next one unseen.
  finish(whole) {
    const shown = this.row;
    this.save(async () => {
      if (!shown || this.row.row !== shown.row) return;
      const words = { checked: "checked", nothing: "nothing here", reject: "left out", forget: "not checked" }[whole];
      const made = await this.decide(shown, { whole }, `image ${words}`);
      if (made && whole !== "forget") await this.list.step(1);
    });
  }

  async back(which) {
    const told = await this.page.send(which, { tab: this.page.tab });
    if (!told) return;
    if (told.row === null) {
      this.page.say(`nothing to ${which}`);
      return;
    }
    if (this.row && this.row.row === told.row) this.take(told);
    else await this.list.go(told.row);
    this.page.say(`${which === "undo" ? "undone" : "done again"}`);
  }

  // ---- moving by keys: what is pressed in a row is one change ----------------------------------------------------------

  nudge(dx, dy, event) {
    const box = this.box();
    const shape = this.stage.selected;
    if (!box || !shape) return;
    const step = event.ctrlKey || event.metaKey ? 10 : 1;
    const { width, height } = this.stage.size;
    const [x1, y1, x2, y2] = shape.box;
    const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
    if (event.altKey) shape.box = [x1, y1, clamp(x2 + dx * step, x1 + 1, width), clamp(y2 + dy * step, y1 + 1, height)];
    else {
      const [mx, my] = [clamp(dx * step, -x1, width - x2), clamp(dy * step, -y1, height - y2)];
      shape.box = [x1 + mx, y1 + my, x2 + mx, y2 + my];
    }
    shape.box = rounded(shape.box);
    this.stage.place(shape, shape.box);
    this.stage.paintHandles(shape.box);
    clearTimeout(this.settling);
    this.nudged = { row: this.row, key: box.key, box: shape.box };
    this.moving.set(box.key, shape.box);
    this.settling = setTimeout(() => this.settle(), SETTLED);
  }

  settle() {
    clearTimeout(this.settling);
    const { nudged } = this;
    this.nudged = null;
    if (nudged) this.moveBox(nudged.key, nudged.box, nudged.row);
  }

  async heard(rows) {
    if (this.row && rows.includes(this.row.row) && !this.page.outbox.unsaved && !this.nudged) {
      const told = await this.page.get(`row/${this.row.row}`).catch(() => null);
      if (told && this.row && told.row === this.row.row) this.take(told);
    }
    this.list.heard(rows);
  }

  close() {
    this.stopNews();
    this.stage.close();
    this.list.close();
  }
}

export async function mount(root, page) {
  const mode = new Correct(root, page);
  await mode.start();
  return () => mode.close();
}
