"use strict";
// Text from the data goes into the page as text nodes and attributes only; nothing here parses markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const HUES = 10;
  const MEMORY = `autolabel review ${data.plan}`;
  const byId = (id) => document.getElementById(id);

  // ---- rows and boxes ------------------------------------------------------------------------------------------

  const hueOf = new Map(data.classes.slice(0, HUES).map((phrase, rank) => [phrase, `hue-${rank}`]));
  const roundHue = new Map(data.rounds.map(([round], rank) => [round, `hue-${rank % HUES}`]));
  const roundName = new Map(data.rounds);

  const key = (image, captionIndex, phrase, bbox) => JSON.stringify([image, captionIndex, phrase, bbox]);

  const rows = data.rows.map((raw, index) => {
    const row = { ...raw, index, key: key(raw.image, raw.caption_index, null, null) };
    row.boxes = raw.boxes.map(([x1, y1, x2, y2, phrase, score, round, outline], place) => {
      const bbox = [x1, y1, x2, y2];
      const name = raw.phrases[phrase];
      // What decisions call a box that somebody moved or renamed is what the labels say of it.
      const own = raw.names[place] || [...bbox, name];
      const named = { bbox: own.slice(0, 4), phrase: own[4] };
      return { row, place, bbox, phrase: name, named, score, round, outline, matched: raw.matched[place], verified: raw.verified ? raw.verified[place] : null, expression: raw.expressions ? raw.expressions[place] : null, key: key(raw.image, raw.caption_index, named.phrase, named.bbox) };
    });
    row.boxes.sort((a, b) => a.score - b.score);
    return row;
  });

  // ---- decisions: what the page was written with, then what this browser remembers -------------------------------

  const written = new Map();
  for (const row of rows) {
    if (row.verdict) written.set(row.key, row.verdict);
    for (const box of row.boxes) if (data.rows[row.index].verdicts[box.place]) written.set(box.key, data.rows[row.index].verdicts[box.place]);
  }
  const decisions = new Map([...written, ...remembered()]);

  function remembered() {
    try {
      const stored = JSON.parse(localStorage.getItem(MEMORY) || "[]");
      return stored.filter((pair) => Array.isArray(pair) && ["keep", "reject", "forget", "checked"].includes(pair[1]));
    } catch {
      return []; // a browser may forbid storage to local files: decisions then last as long as the page is open
    }
  }

  function remember() {
    try {
      localStorage.setItem(MEMORY, JSON.stringify([...decisions].filter(([name, verdict]) => written.get(name) !== verdict)));
    } catch {
      // as above
    }
  }

  const verdictOf = (thing) => {
    const verdict = decisions.get(thing.key);
    return verdict === "forget" ? undefined : verdict;
  };

  function decide(thing, verdict) {
    if (verdict) decisions.set(thing.key, verdict);
    else if (written.has(thing.key)) decisions.set(thing.key, "forget");
    else decisions.delete(thing.key);
    remember();
  }

  // What is new in this browser: what stands already may say more than this page shows, such as where a box was moved.
  function review() {
    const out = [];
    const fresh = (name) => decisions.has(name) && decisions.get(name) !== written.get(name);
    for (const row of rows) {
      const place = { image: row.image, caption_index: row.caption_index };
      if (fresh(row.key)) out.push({ ...place, bbox: null, phrase: null, verdict: decisions.get(row.key) });
      for (const { key: name, named, score, round } of row.boxes) {
        if (fresh(name)) out.push({ ...place, ...named, score, round, verdict: decisions.get(name) });
      }
    }
    return { version: 2, plan: data.plan, decisions: out };
  }

  function download() {
    const text = JSON.stringify(review(), null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "review.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ---- building the page -------------------------------------------------------------------------------------------

  function make(name, attributes = {}, ...children) {
    const node = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) node.setAttribute(attribute, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  function picture(row) {
    const stage = make("div", { class: "stage" });
    stage.style.setProperty("--ratio", row.width / row.height);
    if (row.jpeg) stage.append(make("img", { src: `data:image/jpeg;base64,${row.jpeg}`, alt: "", decoding: "async" }));
    else stage.append(make("span", { class: "missing" }, row.problem));
    const overlay = make("svg:svg", { viewBox: `0 0 ${row.width} ${row.height}`, "aria-hidden": "true" });
    stage.append(overlay);
    return { stage, overlay };
  }

  function shape(box) {
    const [x1, y1, x2, y2] = box.bbox;
    const group = make("svg:g", { class: "shape" });
    if (box.outline) group.append(make("svg:path", { d: box.outline }));
    group.append(make("svg:rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }));
    return group;
  }

  function truthShapes(row) {
    const group = make("svg:g", { class: "true" });
    for (const [x1, y1, x2, y2] of row.truth || []) group.append(make("svg:rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1 }));
    return group;
  }

  function tag(box) {
    const [x1, y1, x2] = box.bbox;
    const node = make("span", { class: `tag ${hue(box)}${y1 < 0.06 * box.row.height ? " under" : ""}` }, `${box.phrase} ${box.score.toFixed(2)}`);
    if (x1 + x2 < box.row.width) node.style.left = `${(100 * x1) / box.row.width}%`;
    else node.style.right = `${100 - (100 * x2) / box.row.width}%`;
    node.style.top = `${(100 * y1) / box.row.height}%`;
    return node;
  }

  function card(row) {
    const { stage, overlay } = picture(row);
    const shapes = row.boxes.map(shape);
    const truth = truthShapes(row);
    overlay.append(...shapes, truth);
    const facts = make("span");
    const badge = make("span", { class: "badge" });
    const button = make("button", { type: "button", class: "open" },
      make("span", { class: "picture" }, stage),
      make("span", { class: "words" },
        make("span", { class: "name", dir: "auto", title: row.image }, row.image.split("/").pop() + (row.caption_index ? ` #${row.caption_index}` : "")),
        make("span", { class: "facts" }, facts, badge)));
    button.addEventListener("click", () => openViewer(row));
    return { item: make("li", {}, button), button, stage, shapes, truth, facts, badge };
  }

  // ---- filters -----------------------------------------------------------------------------------------------------

  const controls = Object.fromEntries(
    ["threshold", "phrase", "round", "show", "sort", "colour", "draw-boxes", "draw-masks", "draw-names", "draw-truth", "shortcuts"].map((id) => [id, byId(id)]));

  const hue = (box) => (controls.colour.value === "round" ? roundHue.get(box.round) : hueOf.get(box.phrase)) || "hue-other";
  const passes = (box) =>
    box.score >= Number(controls.threshold.value) &&
    (controls.phrase.value === "" || box.phrase === data.classes[Number(controls.phrase.value)]) &&
    (controls.round.value === "" || box.round === Number(controls.round.value));
  const visible = (row) => row.boxes.filter(passes);

  function differences(row) {
    if (!row.truth) return null;
    const one = controls.phrase.value === "" ? null : data.classes[Number(controls.phrase.value)];
    const boxes = visible(row);
    const right = boxes.filter((box) => box.matched >= 0).length;
    const wanted = row.truth.filter((box) => one === null || box[4] === one).length;
    return { right, extra: boxes.length - right, missed: wanted - right };
  }

  const differing = (row) => {
    const found = differences(row);
    return found ? found.extra + found.missed : 0;
  };
  const decided = (row) => verdictOf(row) !== undefined || row.boxes.some((box) => verdictOf(box));
  const filtering = () => controls.phrase.value !== "" || controls.round.value !== "";

  const shows = {
    "": (row, boxes) => boxes.length > 0 || !filtering(),
    labelled: (row, boxes) => boxes.length > 0,
    empty: (row) => row.total === 0,
    undecided: (row, boxes) => verdictOf(row) !== "reject" && boxes.some((box) => !verdictOf(box)),
    decided: (row) => decided(row),
    differs: (row) => differing(row) > 0,
  };
  const lowest = (row, boxes) => (boxes.length ? boxes[0].score : 2);
  const byName = (a, b) => a.row.index - b.row.index;
  const orders = {
    least: (a, b) => lowest(a.row, a.boxes) - lowest(b.row, b.boxes) || byName(a, b),
    most: (a, b) => (b.boxes.length ? b.boxes[0].score : -1) - (a.boxes.length ? a.boxes[0].score : -1) || byName(a, b),
    boxes: (a, b) => b.boxes.length - a.boxes.length || byName(a, b),
    name: byName,
    differs: (a, b) => differing(b.row) - differing(a.row) || byName(a, b),
  };

  const cards = rows.map(card);
  let listed = [];

  function plural(count, word) {
    return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : word === "box" ? "es" : "s"}`;
  }

  function refresh() {
    byId("threshold-value").textContent = Number(controls.threshold.value).toFixed(2);
    const found = rows.map((row) => ({ row, boxes: visible(row) }));
    const chosen = found.filter(({ row, boxes }) => shows[controls.show.value](row, boxes)).sort(orders[controls.sort.value]);
    listed = chosen.map(({ row }) => row);
    byId("cards").replaceChildren(...listed.map((row) => cards[row.index].item));
    for (const { row, boxes } of chosen) paintCard(row, boxes);
    const boxes = chosen.reduce((sum, one) => sum + one.boxes.length, 0);
    byId("shown").textContent = `${plural(listed.length, "row")} of ${rows.length.toLocaleString("en")}, ${plural(boxes, "box")}${truthWords()}`;
    byId("nothing").hidden = listed.length > 0;
    paintProgress();
  }

  function truthWords() {
    if (!data.truth) return "";
    const known = listed.map(differences).filter(Boolean);
    const sum = (field) => known.reduce((total, one) => total + one[field], 0).toLocaleString("en");
    return `; against the truth ${sum("right")} right, ${sum("extra")} too many, ${sum("missed")} missed`;
  }

  function paintShapes(row, shapes) {
    row.boxes.forEach((box, index) => {
      shapes[index].setAttribute("class", `shape ${hue(box)} ${verdictOf(row) === "reject" ? "reject" : verdictOf(box) || ""}`);
      shapes[index].toggleAttribute("hidden", !passes(box));
      shapes[index].style.display = passes(box) ? "" : "none";
    });
  }

  function paintStage(row, stage, truth) {
    stage.classList.toggle("no-boxes", !controls["draw-boxes"].checked);
    stage.classList.toggle("no-masks", !controls["draw-masks"].checked);
    truth.style.display = controls["draw-truth"].checked ? "" : "none";
    stage.querySelectorAll(".tag").forEach((node) => node.remove());
  }

  function paintCard(row, boxes = visible(row)) {
    const { button, stage, shapes, truth, facts, badge } = cards[row.index];
    paintShapes(row, shapes);
    paintStage(row, stage, truth);
    if (controls["draw-names"].checked) stage.append(...boxes.map(tag));
    const least = boxes.length ? `, least ${boxes[0].score.toFixed(2)}` : "";
    const cut = row.total > row.boxes.length ? ` of ${row.total.toLocaleString("en")}` : "";
    facts.textContent = `${boxes.length}${cut} ${boxes.length === 1 ? "box" : "boxes"}${least}`;
    const kept = row.boxes.filter((box) => verdictOf(box) === "keep").length;
    const rejected = row.boxes.filter((box) => verdictOf(box) === "reject").length;
    const whole = verdictOf(row);
    badge.textContent = whole ? { keep: "✓ empty", checked: "✓ checked", reject: "✗ image" }[whole] : [kept && `✓ ${kept}`, rejected && `✗ ${rejected}`].filter(Boolean).join(" ");
    badge.setAttribute("class", `badge ${whole === "checked" ? "keep" : whole || (rejected ? "reject" : "keep")}`);
    button.setAttribute("aria-label", `${row.image}: ${facts.textContent}${whole ? `, image ${said(whole)}` : ""}${kept ? `, ${kept} kept` : ""}${rejected ? `, ${rejected} rejected` : ""}`);
  }

  function paintProgress() {
    const count = [...decisions.values()].filter((verdict) => verdict !== "forget").length;
    byId("decided").textContent = count ? plural(count, "decision") : "";
    byId("download").disabled = review().decisions.length === 0;
  }

  // ---- the viewer --------------------------------------------------------------------------------------------------

  const viewer = byId("viewer");
  const view = { row: null, at: 0, shapes: [], truth: null, stage: null, rows: [] };
  const said = (verdict) => ({ keep: "kept", reject: "rejected", checked: "checked" })[verdict] || "undecided";
  const selected = () => visible(view.row)[view.at];

  function openViewer(row, at = 0) {
    // The list is the one that was on the page when the viewer opened: decisions must not pull rows away underneath.
    if (!viewer.open) view.rows = listed.slice();
    view.row = row;
    const { stage, overlay } = picture(row);
    view.shapes = row.boxes.map(shape);
    view.truth = truthShapes(row);
    view.stage = stage;
    overlay.append(...view.shapes, view.truth);
    row.boxes.forEach((box, index) => view.shapes[index].addEventListener("click", () => select(visible(row).indexOf(box))));
    stage.id = "stage";
    byId("stage").replaceWith(stage);
    byId("viewer-name").textContent = row.image + (row.caption_index ? ` (caption ${row.caption_index})` : "");
    byId("viewer-caption").textContent = row.caption;
    const unfound = row.unfound.length ? `Nothing found for: ${row.unfound.join(", ")}.` : "";
    const cut = row.total > row.boxes.length ? `${row.boxes.length} of ${row.total.toLocaleString("en")} boxes are shown.` : "";
    byId("viewer-notes").textContent = [cut, unfound, ...row.notes].filter(Boolean).join(" ");
    const place = view.rows.indexOf(row);
    byId("place").textContent = `${place + 1} / ${view.rows.length}`;
    byId("previous").disabled = place <= 0;
    byId("next").disabled = place >= view.rows.length - 1;
    if (!viewer.open) viewer.showModal();
    select(Math.max(0, Math.min(at, visible(row).length - 1)));
  }

  function select(at) {
    view.at = at;
    paintViewer();
    const current = byId("boxes").querySelector("[aria-current=true]");
    if (current) current.focus({ preventScroll: true });
    if (current) current.scrollIntoView({ block: "nearest" });
    else byId("keep-all").focus();
  }

  function paintViewer() {
    const { row, shapes, stage, truth } = view;
    const boxes = visible(row);
    const box = selected();
    paintShapes(row, shapes);
    paintStage(row, stage, truth);
    row.boxes.forEach((one, index) => shapes[index].classList.toggle("selected", one === box));
    stage.classList.toggle("dim", boxes.length > 12);
    if (controls["draw-names"].checked) stage.append(...boxes.map(tag));
    else if (box) stage.append(tag(box));
    byId("boxes").replaceChildren(...boxes.map(boxItem));
    byId("keep").disabled = byId("reject").disabled = !box;
    byId("undo").disabled = !(box && verdictOf(box)) && !verdictOf(row);
    byId("keep-all").firstChild.textContent = row.total ? "Keep all shown " : "Rightly empty ";
  }

  function boxItem(box, index) {
    const verdict = verdictOf(box.row) === "reject" ? "reject" : verdictOf(box);
    const matched = data.truth && box.row.truth ? (box.matched >= 0 ? ", as in the truth" : ", not in the truth") : "";
    const verified = box.verified === null ? "" : `, verdict ${box.verified.toFixed(3)}`;
    const expression = box.expression ? `, “${box.expression}”` : "";
    const button = make("button", { type: "button", class: hue(box), "aria-current": index === view.at ? "true" : false },
      make("span", {}, make("span", { class: `dot ${hue(box)}`, "aria-hidden": "true" }), make("bdi", {}, box.phrase)),
      make("span", { class: "score" }, box.score.toFixed(3)),
      make("span", { class: `badge ${verdict || ""}` }, verdict ? said(verdict) : ""),
      make("span", { class: "more" }, make("span", {}, (roundName.get(box.round) || `round ${box.round}`) + verified + matched + expression)));
    button.addEventListener("click", () => select(index));
    return make("li", {}, button);
  }

  function say(text) {
    byId("said").textContent = text;
  }

  function afterDecision(row) {
    paintCard(row);
    paintProgress();
  }

  function judge(verdict) {
    const box = selected();
    if (!box) return;
    decide(box, verdict);
    afterDecision(view.row);
    say(`${box.phrase} ${said(verdict)}`);
    advance();
  }

  function advance() {
    const boxes = visible(view.row);
    if (view.at + 1 < boxes.length) select(view.at + 1);
    else if (view.rows.indexOf(view.row) + 1 < view.rows.length) move(1);
    else paintViewer();
  }

  function undo() {
    const box = selected();
    if (box && verdictOf(box)) decide(box, undefined);
    else decide(view.row, undefined);
    afterDecision(view.row);
    select(view.at);
    say("decision taken back");
  }

  function judgeImage(row, verdict) {
    const boxes = visible(row);
    if (verdict === "reject" || row.total === 0) decide(row, verdict);
    else {
      decide(row, undefined);
      for (const box of boxes) if (!verdictOf(box)) decide(box, "keep");
    }
    afterDecision(row);
    say(`image ${said(verdict)}`);
  }

  function move(by) {
    const row = view.rows[view.rows.indexOf(view.row) + by];
    if (row) openViewer(row);
  }

  function moveBox(by) {
    const at = view.at + by;
    if (at >= 0 && at < visible(view.row).length) select(at);
    else if (by > 0) move(1);
    else {
      const before = view.rows[view.rows.indexOf(view.row) - 1];
      if (before) openViewer(before, visible(before).length - 1);
    }
  }

  viewer.addEventListener("close", () => {
    refresh();
    if (view.row) cards[view.row.index].button.focus();
  });

  // ---- keyboard ----------------------------------------------------------------------------------------------------

  const inViewer = {
    j: () => moveBox(1), ArrowDown: () => moveBox(1), k: () => moveBox(-1), ArrowUp: () => moveBox(-1),
    ArrowRight: () => move(1), ArrowLeft: () => move(-1),
    y: () => judge("keep"), n: () => judge("reject"), u: undo,
    Y: () => { judgeImage(view.row, "keep"); move(1); paintViewer(); }, N: () => { judgeImage(view.row, "reject"); move(1); paintViewer(); },
  };

  function focusCard(by) {
    const at = listed.findIndex((row) => cards[row.index].button === document.activeElement);
    const row = listed[Math.max(0, Math.min(listed.length - 1, at + by))];
    if (row) cards[row.index].button.focus();
  }

  function onCard(act) {
    const row = listed.find((one) => cards[one.index].button === document.activeElement);
    if (row) act(row);
  }

  const inGallery = {
    j: () => focusCard(1), k: () => focusCard(-1),
    Y: () => onCard((row) => judgeImage(row, "keep")), N: () => onCard((row) => judgeImage(row, "reject")),
  };
  const arrows = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest("input, select, textarea, summary, [role=region]");
    if (inField && !(event.target.type === "checkbox" && !event.key.startsWith("Arrow"))) return;
    if (event.key.length === 1 && !controls.shortcuts.checked) return;
    const onACard = listed.some((row) => cards[row.index].button === document.activeElement);
    const act = viewer.open ? inViewer[event.key] : inGallery[event.key] || (onACard && arrows[event.key] && (() => focusCard(arrows[event.key])));
    if (!act) return;
    event.preventDefault();
    act();
  });

  // ---- start -------------------------------------------------------------------------------------------------------

  data.classes.forEach((phrase, index) => controls.phrase.append(make("option", { value: index }, phrase.slice(0, 60))));
  data.rounds.forEach(([round, name]) => controls.round.append(make("option", { value: round }, name)));
  controls.threshold.value = 0;
  if (!data.truth) document.querySelectorAll(".truth-only").forEach((node) => node.remove());
  if (!data.masks) document.querySelectorAll(".masks-only").forEach((node) => (node.hidden = true));

  byId("filters").addEventListener("input", refresh);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("download").addEventListener("click", download);
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  byId("close").addEventListener("click", () => viewer.close());
  byId("keep").addEventListener("click", () => judge("keep"));
  byId("reject").addEventListener("click", () => judge("reject"));
  byId("undo").addEventListener("click", undo);
  byId("keep-all").addEventListener("click", inViewer.Y);
  byId("reject-all").addEventListener("click", inViewer.N);
  refresh();
})();
