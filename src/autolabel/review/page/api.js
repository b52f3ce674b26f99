// Talks to the server. Reading may fail and be tried again by whoever asked; a change is sent until the server has said
// that it is on disk, one after the other, and the page says "saved" only then.

export const tab = (() => {
  const made = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const known = sessionStorage.getItem("autolabel tab") || made();
    sessionStorage.setItem("autolabel tab", known);
    return known;
  } catch {
    return made();
  }
})();

export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export class Refused extends Error {}

async function answered(response) {
  const body = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (!response.ok) throw new Refused(body.error || `the server answered ${response.status}`);
  return body;
}

export async function get(path, options = {}) {
  return answered(await fetch(path, { cache: "no-store", credentials: "omit", ...options }));
}

export class Outbox {
  // Changes on their way to the disk, in order. `changed` is called whenever their number or fate changes.
  constructor(changed) {
    this.changed = changed;
    this.waiting = 0;
    this.held = 0;
    this.failing = "";
    this.last = Promise.resolve();
    addEventListener("beforeunload", (event) => {
      if (this.unsaved) event.preventDefault();
    });
  }

  // How many changes are not on disk: those on their way, and those that wait for others before they are sent.
  get unsaved() {
    return Math.max(this.waiting, this.held);
  }

  // Counts a change that will be sent later; call what is returned once it was.
  hold() {
    this.held += 1;
    this.changed();
    return () => {
      this.held -= 1;
      this.changed();
    };
  }

  send(path, body) {
    this.waiting += 1;
    this.changed();
    const sent = this.last.then(() => this.deliver(path, body));
    this.last = sent.catch(() => {});
    return sent.finally(() => {
      this.waiting -= 1;
      this.changed();
    });
  }

  async deliver(path, body) {
    for (let pause = 200; ; pause = Math.min(2 * pause, 3000)) {
      try {
        const told = await answered(await fetch(path, {
          method: "POST", credentials: "omit", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
        }));
        this.failing = "";
        return told;
      } catch (error) {
        if (error instanceof Refused) {
          this.failing = "";
          throw error;
        }
        this.failing = "The server does not answer.";
        this.changed();
        await new Promise((wake) => setTimeout(wake, pause));
      }
    }
  }
}
