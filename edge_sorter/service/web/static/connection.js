// The one connection to the sorter. It acknowledges every message after it was shown, so nothing queues up for us.

const SILENCE_MS = 2500;
const RETRY_MS = [300, 600, 1200, 2500, 5000];

/** Events: "scene", "status", "cards", "frame" ({head, jpeg}), "contact" (boolean). */
export class Connection extends EventTarget {
  #socket = null;
  #tries = 0;
  #heard = 0;
  #contact = null;

  start() {
    this.#open();
    setInterval(() => this.#watch(), 500);
    document.addEventListener("visibilitychange", () => this.#tellLooking());
  }

  #open() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.#tries = 0; this.#heard = performance.now(); this.#tellLooking(); };
    socket.onmessage = (event) => this.#receive(socket, event.data);
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#say("contact", false);
      setTimeout(() => this.#open(), RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)]);
    };
    this.#socket = socket;
  }

  async #receive(socket, data) {
    this.#heard = performance.now();
    if (this.#contact !== true) this.#say("contact", true);
    if (typeof data === "string") {
      const message = JSON.parse(data);
      this.#say(message.type, message.type === "status" ? message : message[message.type]);
    } else {
      const length = new DataView(data).getUint32(0, true);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
      this.#say("frame", { head, bitmap });
    }
    if (socket.readyState === WebSocket.OPEN) socket.send("ok");
  }

  #watch() {
    if (this.#contact && performance.now() - this.#heard > SILENCE_MS) {
      this.#say("contact", false);
      this.#socket?.close();
    }
  }

  #tellLooking() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(document.hidden ? "away" : "look");
  }

  #say(what, detail) {
    if (what === "contact") this.#contact = detail;
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}
