// Which images are gone through, and in which order; the server keeps the list, the page a window of it.

import { make, plural } from "./dom.js";
import { newId } from "./api.js";

const WINDOW = 40;
const AGAIN = 700; // milliseconds before a list that was not complete is asked for again
const ORDERS = [["least", "least certain first"], ["most", "most certain first"], ["disagreement", "most disputed first"], ["boxes", "most boxes first"], ["name", "by name"], ["random", "at random"], ["list", "as listed"]];
const SHOWS = [["all", "all"], ["unchecked", "not checked"], ["undecided", "nothing decided"], ["checked", "checked"], ["left_out", "left out"], ["labelled", "with boxes"], ["empty", "without boxes"]];
const STATES = ["", "begun", "checked", "left out"];
const MARKS = ["", "…", "✓", "✗"];

// The end of a name tells more than its middle: what a camera or a data set calls its images begins alike.
const shortened = (name, most = 15) => (name.length > most ? `${name.slice(0, 4)}…${name.slice(5 - most)}` : name);

export class RowList {
  // `open(row)` shows an image, within `act(work)`, which does one thing after another.
  constructor(page, { open, act }) {
    const { session } = page;
    this.page = page;
    this.openRow = open;
    this.act = act;
    this.at = 0;
    this.start = 0;
    this.total = 0;
    this.rows = [];
    this.name = newId();
    const options = (pairs, chosen) => pairs.map(([value, words]) => make("option", { value, selected: value === chosen }, words));
    const orders = ORDERS.filter(([value]) => (value !== "disagreement" || session.labelers > 1) && (value !== "list" || session.limited));
    const refresh = () => this.act(() => this.changed());
    this.order = make("select", { "aria-label": "Order", onchange: refresh }, ...options(orders, session.query.order));
    this.show = make("select", { "aria-label": "Show", onchange: refresh }, ...options(SHOWS, session.query.show));
    this.phrase = make("select", { "aria-label": "Class", onchange: refresh }, make("option", { value: "" }, "any class"), ...options(session.classes.slice(0, 2000).map((name) => [name, name]), session.query.phrase));
    this.text = make("input", { type: "search", placeholder: "Search names", "aria-label": "Search image names", value: session.query.text, oninput: () => { clearTimeout(this.typing); this.typing = setTimeout(refresh, 250); } });
    this.count = make("p", { class: "faint count", role: "status" });
    this.items = make("ol", { class: "rows" });
    this.earlier = make("button", { type: "button", class: "more", onclick: () => this.slide(-1) }, "Earlier");
    this.later = make("button", { type: "button", class: "more", onclick: () => this.slide(1) }, "Later");
    const filters = make("div", { class: "filters" }, this.order, this.show, this.phrase, this.text);
    this.details = make("details", { class: "list-details" }, make("summary", {}, "Images"), filters, this.count, make("div", { class: "scroll" }, this.earlier, this.items, this.later));
    this.details.open = matchMedia("(min-width: 60rem)").matches;
    this.root = make("aside", { class: "list", "aria-label": "Images" }, this.details);
  }

  focusSearch() {
    this.details.open = true;
    this.text.focus();
  }

  query() {
    return new URLSearchParams({ list: this.name, order: this.order.value, show: this.show.value, phrase: this.phrase.value, text: this.text.value });
  }

  async fetch(start) {
    const asked = this.query();
    asked.set("start", start);
    asked.set("count", WINDOW);
    return this.page.get(`rows?${asked}`);
  }

  async load(start = 0) {
    const name = this.name;
    const found = await this.fetch(Math.max(0, start));
    if (name !== this.name) return;
    this.rows = found.rows;
    this.start = found.start;
    this.total = found.total;
    clearTimeout(this.again);
    if (!found.complete) this.again = setTimeout(() => this.reload(), AGAIN);
    this.count.textContent = found.complete ? plural(this.total, "image") : `${plural(this.total, "image")} so far, reading on…`;
    this.paint();
  }

  // The list as it stands now that more is known; the image that is open stays open.
  async reload() {
    const open = this.rows[this.at - this.start];
    await this.load(this.start).catch(() => {});
    const place = open ? this.rows.findIndex((row) => row.row === open.row) : -1;
    if (place >= 0) this.at = this.start + place;
    this.paint();
  }

  async changed() {
    this.name = newId();
    this.at = 0;
    try {
      await this.load(0);
      if (this.rows.length) await this.openRow(this.rows[0].row);
    } catch (error) {
      this.page.complain(error.message);
    }
  }

  first() {
    return this.rows[0];
  }

  after() {
    return this.rows[this.at + 1 - this.start];
  }

  async step(by) {
    const to = this.at + by;
    if (to < 0 || to >= this.total) {
      this.page.say(to < 0 ? "this is the first image" : "this is the last image of the list");
      return;
    }
    this.at = to;
    if (to < this.start || to >= this.start + this.rows.length) await this.load(Math.max(0, to - Math.floor(WINDOW / 2)));
    this.paint();
    const row = this.rows[to - this.start];
    if (row) await this.openRow(row.row);
  }

  async go(row) {
    const place = this.rows.findIndex((one) => one.row === row);
    if (place >= 0) this.at = this.start + place;
    this.paint();
    await this.openRow(row);
  }

  async slide(by) {
    await this.load(Math.min(Math.max(0, this.start + by * WINDOW), Math.max(0, this.total - 1)));
  }

  update({ row, state }) {
    const known = this.rows.find((one) => one.row === row);
    if (!known || known.state === state) return;
    known.state = state;
    this.paint();
  }

  async heard(rows) {
    if (!this.rows.some((one) => rows.includes(one.row))) return;
    const found = await this.fetch(this.start).catch(() => null);
    if (!found) return;
    this.rows = found.rows;
    this.paint();
  }

  paint() {
    const item = (row, place) => {
      const at = this.start + place;
      const words = `${row.boxes === 1 ? "1 box" : `${row.boxes} boxes`}${row.least === null ? "" : ` · ${row.least.toFixed(2)}`}`;
      return make("li", {}, make("button", { type: "button", class: `row state-${row.state}`, "aria-current": String(at === this.at), title: row.image, onclick: () => this.act(() => { this.at = at; this.paint(); return this.openRow(row.row); }) },
        make("img", { src: `picture/${row.row}?side=96`, alt: "", loading: "lazy", decoding: "async" }),
        make("span", { class: "words" }, make("bdi", { class: "name" }, shortened(row.image.split("/").pop())), make("span", { class: "faint" }, words)),
        make("span", { class: "mark", title: STATES[row.state] }, make("span", { class: "unseen" }, STATES[row.state]), make("span", { "aria-hidden": "true" }, MARKS[row.state]))));
    };
    const before = new Map([...this.items.children].map((node) => [node.firstChild.dataset.signature, node]));
    this.items.replaceChildren(...this.rows.map((row, place) => {
      const signature = `${this.start + place} ${row.row} ${row.state} ${this.start + place === this.at}`;
      const node = before.get(signature) || item(row, place);
      node.firstChild.dataset.signature = signature;
      return node;
    }));
    this.earlier.hidden = this.start === 0;
    this.later.hidden = this.start + this.rows.length >= this.total;
    const current = this.items.querySelector("[aria-current=true]");
    if (current && this.details.open) current.scrollIntoView({ block: "nearest" });
  }

  close() {
    clearTimeout(this.again);
    clearTimeout(this.typing);
  }
}
