// The class palette and the list of an image's boxes.

import { hueOf, make } from "./dom.js";

const FEW = 12; // classes that are shown without being searched for

export class BoxPanel {
  constructor(classes, { choose, name, judge }) {
    this.classes = classes;
    this.hue = hueOf(classes);
    this.current = classes[0];
    this.choose = choose;
    this.name = name;
    this.filter = make("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class", hidden: classes.length <= FEW, oninput: () => this.paintPalette() });
    this.palette = make("div", { class: "palette", role: "group", "aria-label": "Classes" });
    this.items = make("ol", { class: "boxes" });
    this.empty = make("p", { class: "faint", hidden: true }, "No boxes. B draws one.");
    this.keep = make("button", { type: "button", class: "good", onclick: () => judge("keep") }, "Keep", make("kbd", { "aria-hidden": "true" }, "Y"));
    this.reject = make("button", { type: "button", class: "bad", onclick: () => judge("reject") }, "Reject", make("kbd", { "aria-hidden": "true" }, "N"));
    this.forget = make("button", { type: "button", onclick: () => judge("forget") }, "Clear", make("kbd", { "aria-hidden": "true" }, "U"));
    this.root = make("aside", { class: "panel", "aria-label": "Boxes" },
      make("h2", {}, "Class"), this.filter, this.palette,
      make("h2", {}, "Boxes"), this.empty, this.items);
    this.judging = make("div", { class: "group judge", role: "group", "aria-label": "Selected box" }, this.keep, this.reject, this.forget);
    this.paintPalette();
  }

  setCurrent(name) {
    this.current = name;
    this.paintPalette();
  }

  paintPalette() {
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.classes.map((name, place) => [name, place]).filter(([name]) => name.toLowerCase().includes(wanted));
    const shown = found.slice(0, FEW);
    if (!shown.some(([name]) => name === this.current) && !wanted) shown.push([this.current, this.classes.indexOf(this.current)]);
    this.palette.replaceChildren(...shown.map(([name, place]) => make("button", {
      type: "button", class: `swatch ${this.hue(name)}`, "aria-pressed": String(name === this.current), onclick: () => this.name(name), title: name,
    }, make("i", { class: "dot", "aria-hidden": "true" }), make("bdi", {}, name), place < 10 ? make("kbd", { "aria-hidden": "true" }, String((place + 1) % 10)) : null)));
  }

  show(boxes, selected, row) {
    const item = (box, place) => {
      const marks = [box.expression && `“${box.expression}”`, box.verdict && { keep: "kept", reject: "rejected" }[box.verdict], box.added && "added", box.moved && "moved", box.renamed && `was ${box.phrase}`,
        box.mask_verdict === "reject" && "no mask", box.mask_verdict === "keep" && !box.moved && !box.added && "mask accepted", box.hidden && "below threshold",
        box.verified !== null && `verdict ${box.verified.toFixed(2)}`].filter(Boolean);
      const facts = [box.reviewer && box.verdict ? `by ${box.reviewer}` : "", box.sources.length ? `found by ${box.sources.join(", ")}` : ""].filter(Boolean).join(", ");
      return make("li", {}, make("button", {
        type: "button", class: `box ${this.hue(box.name)} ${row.verdict === "reject" ? "reject" : box.verdict || ""}`, "aria-current": String(box.key === selected), onclick: () => this.choose(box.key), title: facts,
      }, make("span", { class: "unseen" }, `Box ${place + 1}: `), make("i", { class: "dot", "aria-hidden": "true" }), make("bdi", {}, box.name),
      make("span", { class: "score" }, box.score === null ? "" : box.score.toFixed(2)), make("span", { class: "marks" }, marks.join(", "))));
    };
    this.items.replaceChildren(...boxes.map(item));
    this.empty.hidden = boxes.length > 0;
    const box = boxes.find((one) => one.key === selected);
    for (const button of [this.keep, this.reject]) button.disabled = !box;
    this.forget.disabled = !(box && box.verdict);
    const current = this.items.querySelector("[aria-current=true]");
    if (current) this.reveal(current);
  }

  reveal(node) {
    const frame = this.items.getBoundingClientRect();
    const own = node.getBoundingClientRect();
    if (own.top < frame.top) this.items.scrollTop += own.top - frame.top;
    else if (own.bottom > frame.bottom) this.items.scrollTop += own.bottom - frame.bottom;
  }
}
