// The words beside the pointer, or beside the line that the keyboard is on.
import { ROW, bounded } from "./waterfall-picture.js";

const ASIDE = 14; // pixels

const made = (tag, values) => Object.assign(document.createElement(tag), values);

export class Tip {
  constructor(box, frame) {
    this.box = box;
    this.frame = frame;
  }

  hide() {
    this.box.hidden = true;
  }

  // At a place of the frame: below it, or above its line where there is no more room.
  tell({ name, status }, facts, x, y) {
    const sign = made("span", { className: "status", textContent: status });
    sign.dataset.status = status;
    const list = made("dl", {});
    for (const [term, words] of facts) {
      list.append(made("dt", { textContent: term }), made("dd", { textContent: words }));
    }
    this.box.replaceChildren(made("strong", { textContent: name }), sign, list);
    this.box.hidden = false;
    const room = this.box.offsetParent.getBoundingClientRect();
    const place = this.frame.getBoundingClientRect();
    const below = place.top + y + ASIDE;
    const isAbove = below + this.box.offsetHeight > innerHeight - 8;
    const top = isAbove ? place.top + y - ROW - 8 - this.box.offsetHeight : below;
    const left = place.left - room.left + x + ASIDE;
    this.box.style.left = `${bounded(left, 0, room.width - this.box.offsetWidth)}px`;
    this.box.style.top = `${top - room.top}px`;
  }
}
