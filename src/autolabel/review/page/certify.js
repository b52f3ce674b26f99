// Certifying: one box at a time, "is it right?"; one image at a time, "what is missing?"; and what is certain by now.

import { newId } from "./api.js";
import { hueOf, make, plural } from "./dom.js";
import { Stage, rounded } from "./stage.js";

const CLOSE = 0.3; // the part of the view that an asked box fills
const percent = (share) => (share === null ? "not stated" : `${(Math.floor(share * 1000 + 1e-6) / 10).toLocaleString("en")} %`);

// A forecast has one digit: more would promise too much.
function oneDigit(count) {
  const whole = Math.max(0, Math.round(count));
  const unit = 10 ** Math.max(0, String(whole).length - 1);
  return whole < 20 ? whole : Math.round(whole / unit) * unit;
}

const aboutMinutes = (minutes) => (minutes < 0.5 ? "less than a minute" : `about ${plural(oneDigit(minutes), "minute")}`);

class Certify {
  constructor(root, page) {
    this.page = page;
    this.classes = page.session.classes;
    this.hue = hueOf(this.classes);
    this.units = [];
    this.answered = []; // what was answered here, for undo
    this.marks = [];
    this.current = this.classes[0];
    this.last = Promise.resolve();
    this.style = make("link", { rel: "stylesheet", href: "file/autolabel.review/certify.css" });
    document.head.append(this.style);
    const area = make("div", { tabindex: "0", role: "application", "aria-label": "Image" });
    this.stage = new Stage(area, {
      onPoint: (x, y) => this.mark(rounded([x, y])),
      onDraw: (box) => this.mark(box),
      onSelect: () => {},
    });
    this.ask = make("h2", { class: "ask", tabindex: "-1", role: "status" });
    this.title = make("p", { class: "image-name faint" });
    this.caption = make("p", { class: "caption", dir: "auto", hidden: true });
    this.bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Answer" });
    this.side = make("div", { class: "certain" });
    this.palette = make("div", { class: "palette", role: "group", "aria-label": "Class of what is missing" });
    root.append(
      make("section", { class: "centre", "aria-label": "What is asked" }, this.ask, make("div", { class: "image-head" }, this.title), area, this.caption, this.bar),
      make("aside", { class: "panel", "aria-label": "What is certain by now" }, this.palette, this.side),
    );
  }

  // One thing after the other: an answer is on disk before the next one is asked.
  act(work) {
    this.last = this.last.then(work).catch((error) => this.page.complain(error.message));
    return this.last;
  }

  async fetch() {
    const told = await this.page.get("mode/certify/work");
    this.units = told.units;
    this.show(told.state);
    this.open();
  }

  get unit() {
    return this.units[0];
  }

  open() {
    const { unit } = this;
    this.marks = [];
    this.name(unit);
    this.palette.hidden = !unit || unit.unit === "box" || this.classes.length < 2;
    if (!unit) {
      this.ask.textContent = this.holds ? "Everything is checked." : "The labels have changed since the draw.";
      this.title.textContent = "";
      this.stage.root.hidden = true;
      this.setTools([["Undo", "Z", () => this.undo()]]);
      return;
    }
    this.stage.root.hidden = false;
    this.title.replaceChildren(make("bdi", {}, unit.image));
    this.caption.textContent = unit.caption || "";
    this.caption.hidden = !unit.caption;
    const place = `picture/${unit.row}`;
    this.stage.root.style.setProperty("--ratio", unit.height / Math.max(1, unit.width));
    this.stage.show({ src: place, width: unit.width, height: unit.height, alt: unit.image });
    if (unit.unit === "box") this.openBox(unit);
    else this.openImage(unit);
    this.paint();
    const after = this.units[1];
    if (after) new Image().src = `picture/${after.row}`;
  }

  // What is asked, for scripts that answer.
  name(unit) {
    const { dataset } = this.ask;
    for (const key of Object.keys(dataset)) delete dataset[key];
    if (unit) Object.assign(dataset, { unit: unit.id, kind: unit.unit, image: unit.image, bbox: (unit.bbox || []).join(" ") });
  }

  openBox(unit) {
    this.stage.mode = "select";
    this.ask.replaceChildren("Is this right: ", make("bdi", {}, unit.phrase), "?");
    this.stage.focus(unit.bbox, CLOSE);
    this.setTools([
      ["Yes", "Y", () => this.judge("yes"), "good"],
      ["No", "N", () => this.judge("no"), "bad"],
      ["Cannot tell", "T", () => this.judge("cannot tell")],
      ["Undo", "Z", () => this.undo()],
      ["Whole image", "0", () => this.stage.fit()],
    ]);
    this.page.say(`Is this ${unit.phrase} right? Y yes, N no, T cannot tell`);
  }

  openImage(unit) {
    this.stage.mode = "point";
    this.stage.root.classList.add("drawing");
    this.ask.textContent = "What has no box, or only a wrong one? Click on each.";
    this.setTools([
      ["Nothing is missing", "Enter", () => this.finish(), "good"],
      ["One more", "M", () => this.mark([])],
      ["One less", "⌫", () => this.unmark()],
      ["Draw a box", "B", () => this.setDrawing(this.stage.mode !== "draw")],
      ["Cannot tell", "T", () => this.judge("cannot tell")],
      ["Undo", "Z", () => this.undo()],
      ["Fit", "0", () => this.stage.fit()],
    ]);
    this.paintPalette();
    this.page.say(`${unit.image}: what is missing? ${unit.boxes.length} boxes are there. Enter where nothing is.`);
  }

  setDrawing(on) {
    this.stage.mode = on ? "draw" : "point";
  }

  setTools(lines) {
    this.buttons = new Map();
    this.bar.replaceChildren(...lines.map(([words, key, action, kind]) => {
      const text = make("span", {}, words);
      this.buttons.set(words, text);
      return make("button", { type: "button", class: kind, onclick: action }, text, make("kbd", { "aria-hidden": "true" }, key));
    }));
    const names = { Enter: ["Enter"], "⌫": ["Backspace", "Delete"] };
    const digits = [..."1234567890"].slice(0, this.classes.length).map((digit, place) => [digit, this.classes[place], () => this.pick(this.classes[place]), digit]);
    this.page.setKeys([
      ["Answer", lines.map(([words, key, action]) => [key, words, action, ...(names[key] || [key.toLowerCase(), key])])],
      ["Class of what is missing", this.palette.hidden ? [] : digits],
    ]);
  }

  paintPalette() {
    this.palette.replaceChildren(...this.classes.map((name) => make("button", {
      type: "button", class: `swatch ${this.hue(name)}`, "aria-pressed": String(name === this.current), onclick: () => this.pick(name),
    }, make("i", { class: "dot" }), make("bdi", {}, name))));
  }

  pick(name) {
    this.current = name;
    this.paintPalette();
    this.page.say(`what is missing is ${name}`);
  }

  paint() {
    const { unit } = this;
    if (!unit) return;
    const boxes = unit.boxes.map((box) => ({
      box: box.bbox, fixed: true, label: `${box.phrase} ${box.score.toFixed(2)}`,
      className: `${this.hue(box.phrase)} ${unit.unit === "image" ? "open" : box.asked ? "asked" : "around"}`, asked: box.asked,
    }));
    const marks = this.marks.filter((mark) => mark.place.length).map(({ place, phrase }) => ({
      box: place, point: place.length === 2, fixed: true, className: this.hue(phrase), label: phrase,
    }));
    this.stage.draw([...boxes, ...marks]);
    this.stage.select(boxes.find((box) => box.asked) || null);
    const button = this.buttons.get("Nothing is missing");
    const count = this.marks.length;
    if (button) button.textContent = count ? `${plural(count, "is", "are")} missing` : "Nothing is missing";
  }

  mark(place) {
    if (!this.unit || this.unit.unit !== "image") return;
    this.marks.push({ place, phrase: this.current });
    this.setDrawing(false);
    this.paint();
    this.page.say(`${this.marks.length} missing`);
  }

  unmark() {
    this.marks.pop();
    this.paint();
    this.page.say(`${this.marks.length} missing`);
  }

  judge(verdict) {
    this.send({ verdict });
  }

  finish() {
    if (!this.unit || this.unit.unit !== "image") return;
    const one = ({ place, phrase }) => ({ ...(place.length === 2 ? { point: place } : place.length === 4 ? { bbox: place } : {}), phrase });
    this.send({ missed: this.marks.map(one) });
  }

  // Speaks of the unit that was shown when the key was pressed.
  send(said) {
    const asked = this.unit;
    if (this.stage.failed && said.verdict !== "cannot tell") {
      this.page.complain("The image cannot be shown: nobody can tell what is in it.");
      return;
    }
    this.act(async () => {
      const { unit } = this;
      if (!unit || unit !== asked) return;
      const told = await this.page.send("mode/certify/answer", { id: newId(), answer: { id: unit.id, ...said } });
      if (!told) return;
      this.stage.root.classList.remove("drawing");
      this.answered.push(unit);
      this.units.shift();
      this.show(told.state);
      if (this.units.length) this.open();
      else await this.fetch();
    });
  }

  undo() {
    this.act(async () => {
      const unit = this.answered.pop();
      if (!unit) {
        this.page.say("nothing to undo");
        return;
      }
      const told = await this.page.send("mode/certify/answer", { id: newId(), answer: { id: unit.id, verdict: null } });
      if (!told) return;
      this.units.unshift(unit);
      this.show(told.state);
      this.open();
      this.page.say("taken back");
    });
  }

  // ---- what is certain by now ----------------------------------------------------------------------------------------

  show(state) {
    this.holds = state.holds;
    const { boxes, images, minutes } = state;
    const budget = minutes.budget === null ? "" : `, of ${plural(minutes.budget, "minute")} that you have`;
    this.measure(state);
    this.side.replaceChildren(
      make("h2", {}, `With ${state.confidence * 100} % confidence, each by itself`),
      this.bound("Precision", state.precision, "box", "boxes"),
      this.bound("Recall", state.recall, "image", "images"),
      this.bound("Images that lack nothing", state.complete, "image", "images"),
      make("p", { class: "todo" }, `K = ${state.K}: of one image at most ${plural(state.K, "missed object")} count.`),
      make("p", { class: "todo", id: "work-done" }, `${plural(boxes.checked, "box", "boxes")} of ${boxes.units.toLocaleString("en")} and ${plural(images.checked, "image")} of ${images.units.toLocaleString("en")} checked; ${aboutMinutes(minutes.spent)} so far${budget}.`),
      state.disagreements ? make("p", { class: "todo" }, `People disagree about ${plural(state.disagreements, "unit")}: the stricter answer counts.`) : "",
      make("p", { class: "quote" }, state.sentence),
      state.changes ? this.changed(state) : "",
    );
  }

  // The bar of the page: how far it is to what is wanted.
  measure({ precision, recall, boxes, images, minutes }) {
    const checked = boxes.checked + images.checked;
    const wanted = [precision, recall].filter((one) => one.wanted !== null && !one.certified);
    const left = wanted.reduce((sum, one) => sum + (one.more_checks || 0), 0);
    const inSight = minutes.left !== null && wanted.every((one) => one.more_checks !== null);
    const words = !wanted.length ? "certified" : inSight ? `about ${plural(oneDigit(left), "more check")}, ${aboutMinutes(minutes.left)}` : "probably out of reach";
    this.page.measure(wanted.length && !inSight ? 0 : checked / Math.max(1, checked + left), words);
  }

  changed(state) {
    const again = make("button", { type: "button", onclick: () => this.redraw() }, "Draw anew for the labels as they are");
    return make("div", { class: "change" }, make("p", {}, `Since the draw: ${state.changes}.${state.holds ? "" : " The certificate does not hold for the run as it is."}`), state.holds ? "" : again);
  }

  redraw() {
    this.act(async () => {
      if (await this.page.send("mode/certify/redraw", {})) await this.fetch();
    });
  }

  bound(name, stated, one, many) {
    const { at_least: low, at_most: high, wanted } = stated;
    const bars = [];
    if (low !== null) bars.push(this.part("sure", 0, low));
    if (low !== null && high !== null) bars.push(this.part("open", low, high));
    if (wanted !== null) bars.push(this.part("goal", wanted, wanted));
    const words = low === null ? "not stated yet" : stated.exact ? `${percent(low)} exactly` : `at least ${percent(low)}`;
    const label = `${name}: ${words}${wanted === null ? "" : `, wanted ${percent(wanted)}`}`;
    return make("div", { class: "bound", "data-name": name },
      make("div", { class: "words" }, make("span", {}, name), make("b", {}, words)),
      make("div", { class: "scale", role: "img", "aria-label": label }, ...bars),
      this.todo(stated, one, many));
  }

  part(kind, from, to) {
    const node = make("span", { class: kind });
    node.style.left = `${100 * from}%`;
    if (kind !== "goal") node.style.width = `${100 * (to - from)}%`;
    return node;
  }

  todo(stated, one, many) {
    if (stated.wanted === null) return "";
    if (stated.certified) return make("p", { class: "todo done" }, `${percent(stated.wanted)} is certified.`);
    if (stated.impossible) return make("p", { class: "todo no" }, `No: it is at most ${percent(Math.min(1, stated.at_most + 0.000999))}.`);
    if (stated.more_checks === null) return make("p", { class: "todo" }, "Probably out of reach.");
    const about = oneDigit(stated.more_checks);
    return make("p", { class: "todo" }, `About ${plural(about, `more ${one}`, `more ${many}`)} for ${percent(stated.wanted)}.`);
  }

  close() {
    this.stage.close();
    this.style.remove();
  }
}

export async function mount(root, page) {
  const mode = new Certify(root, page);
  await mode.fetch();
  return () => mode.close();
}
