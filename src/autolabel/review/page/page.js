// The frame around the modes: what is saved, how far the review is, keys, and whichever mode is shown.

import { Outbox, Refused, get, tab } from "./api.js";
import { byId, make, plural } from "./dom.js";

const NEWS = 3000;

class Page {
  constructor(session) {
    this.session = session;
    this.tab = tab;
    this.outbox = new Outbox(() => this.showSaved());
    this.keys = new Map();
    this.listeners = new Set();
    this.changes = 0;
    this.everSaved = false;
  }

  // ---- for modes -------------------------------------------------------------------------------------------------

  say(text) {
    byId("said").textContent = text;
  }

  get(path) {
    return get(path);
  }

  // Sends a change and resolves with the answer once it is on disk; undefined where it was refused, which is told.
  async send(path, body) {
    try {
      const told = await this.outbox.send(path, body);
      this.everSaved = true;
      this.complain("");
      if (told.progress) this.showProgress(told.progress);
      if (told.changes !== undefined) this.changes = Math.max(this.changes, told.changes);
      this.showSaved();
      return told;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.complain(`Not saved: ${error.message}`);
      return undefined;
    }
  }

  // `table`: [[group, [[keys, words, action, event names...]]]]; an action gets the event.
  setKeys(table) {
    this.keys.clear();
    const body = byId("help-body");
    body.replaceChildren();
    for (const [group, lines] of table) {
      const list = make("dl");
      for (const [shown, words, action, ...names] of lines) {
        list.append(make("div", {}, make("dt", {}, ...shown.split(" ").map((key) => make("kbd", {}, key))), make("dd", {}, words)));
        for (const name of names) this.keys.set(name, action);
      }
      body.append(make("section", {}, make("h3", {}, group), list));
    }
  }

  // `heard(rows)` is called with rows that somebody else, or another tab, has changed.
  onNews(heard) {
    this.listeners.add(heard);
    return () => this.listeners.delete(heard);
  }

  complain(text) {
    byId("trouble").textContent = text;
    byId("trouble").hidden = !text;
  }

  // ---- the frame -------------------------------------------------------------------------------------------------

  showSaved() {
    const { unsaved, failing } = this.outbox;
    const node = byId("saved");
    node.className = `saved ${failing ? "bad" : unsaved ? "busy" : "good"}`;
    node.textContent = failing ? "Not saved" : unsaved ? "Saving…" : this.everSaved ? "Saved" : "";
    if (failing) {
      this.complain(`${failing} ${plural(unsaved, "change is", "changes are")} not saved and will be sent again. If it was stopped, start autolabel review again and open its new address.`);
      this.failed = true;
    } else if (this.failed) {
      this.failed = false;
      this.complain("");
    }
  }

  showProgress(progress) {
    this.progress = progress;
    if (this.measured) return;
    const done = progress.checked + progress.left_out;
    const rows = Math.max(progress.rows, this.session.rows);
    this.paintProgress(done / Math.max(1, rows), `${done.toLocaleString("en")} of ${rows.toLocaleString("en")} checked`);
  }

  // A mode that counts otherwise has the bar for as long as it is shown.
  measure(part, words) {
    this.measured = true;
    this.paintProgress(part, words);
  }

  paintProgress(part, words) {
    byId("progress-bar").style.width = `${100 * part}%`;
    byId("progress-text").textContent = words;
  }

  async listen() {
    for (;;) {
      await new Promise((wake) => setTimeout(wake, NEWS));
      if (document.hidden) continue;
      try {
        const news = await get(`news?since=${this.changes}`);
        this.changes = news.changes;
        if (news.rows.length) for (const heard of this.listeners) heard(news.rows);
      } catch {
        // the next change, or the next try, tells
      }
    }
  }

  async show(name) {
    const mode = this.session.modes.find((one) => one.name === name) || this.session.modes[0];
    if (this.unmount) this.unmount();
    this.keys.clear();
    const root = byId("work");
    root.replaceChildren();
    root.className = `mode-${mode.name}`;
    for (const button of byId("modes").children) button.setAttribute("aria-pressed", String(button.dataset.name === mode.name));
    this.measured = false;
    this.showProgress(this.progress);
    const { mount } = await import(new URL(mode.script, document.baseURI));
    this.unmount = await mount(root, this, mode.settings);
  }

  start() {
    const { session } = this;
    document.title = `${session.run}: review`;
    byId("run").textContent = session.run;
    byId("reviewer").textContent = session.reviewer || "";
    this.showProgress(session.progress);
    for (const mode of session.modes) {
      byId("modes").append(make("button", { type: "button", "data-name": mode.name, onclick: () => this.show(mode.name) }, mode.title));
    }
    byId("modes").hidden = session.modes.length < 2;
    byId("help-open").addEventListener("click", () => byId("help").showModal());
    document.addEventListener("keydown", (event) => this.press(event));
    this.listen();
    return this.show(session.modes[0].name);
  }

  press(event) {
    if (document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const name = `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${event.shiftKey && event.key.length > 1 ? "Shift+" : ""}${event.key}`;
    if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !byId("shortcuts").checked) return;
    // A focused button or summary is worked by Enter and the space bar, as everywhere.
    if ((event.key === "Enter" || event.key === " ") && event.target.closest("button, a, summary")) return;
    if (event.key === "?") byId("help").showModal();
    const action = this.keys.get(name);
    if (!action) return;
    event.preventDefault();
    action(event);
  }
}

get("session")
  .then((session) => new Page(session).start())
  .catch((error) => {
    byId("trouble").textContent = `The page cannot be shown: ${error.message}`;
    byId("trouble").hidden = false;
  });
