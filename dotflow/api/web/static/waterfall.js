// The waterfall of a run: what people do with it. All that it shows is in the table below it too.
import { clock, lasting } from "./page.js";
import { HEAD, Picture, ROW, RULER, bounded, offset } from "./waterfall-picture.js";
import { Rows } from "./waterfall-rows.js";
import { Tip } from "./waterfall-tip.js";
import { View } from "./waterfall-view.js";

const TALLEST = 640; // pixels
const EDGES = 2;
const SMALLEST = 300;
const SHORTEST = 3; // rows
const FRAME = 250; // milliseconds between two pictures of what goes on
const CLICK = 4; // pixels that a pointer may move in a click

class Waterfall {
  constructor(section) {
    const find = (name) => section.querySelector(name);
    this.window = find(".wf");
    this.sheet = find(".wf-sheet");
    this.link = find(".wf-link");
    this.tip = new Tip(find(".wf-tip"), this.window);
    this.said = find(".wf-said");
    this.only = find("[data-do=only]");
    this.tasks = section.dataset.task.slice(0, -1); // an address that ends with a task's number
    this.picture = new Picture(find("canvas"));
    this.rows = new Rows(section.dataset.rows);
    this.view = new View(this.rows, this.picture, () => {
      this.window.classList.toggle("zoomed", !this.view.isFitted);
      this.draw();
    });
    this.lines = [];
    this.failed = [];
    this.folded = new Set();
    this.hover = this.active = -1;
    this.pointer = -1;
    this.range = null;
    this.#listen(section);
    this.refresh();
  }

  // ---- data ----

  async refresh() {
    if (this.isBusy) return void (this.isDue = true);
    this.isBusy = true;
    try {
      await this.rows.load(() => this.#arrange());
      this.window.removeAttribute("aria-busy");
    } catch (error) {
      // Whoever has no session any more logs in; a run that was deleted is told of by the page.
      if (error.status === 401) location.reload();
      if (error.status === 404) this.rows.goesOn = false;
    }
    this.isBusy = false;
    if (this.isDue) {
      this.isDue = false;
      this.refresh();
    }
  }

  #arrange() {
    const kept = this.lines[this.active];
    const isOnly = this.only?.getAttribute("aria-pressed") === "true";
    this.lines = this.rows.lines((one) => !isOnly || one.status === "Failed", this.folded);
    this.isGrouped = this.lines.some((one) => one.tasks);
    this.failed = [...this.lines.keys()].filter((line) => this.lines[line].status === "Failed");
    this.active = kept ? this.lines.findIndex((one) => (kept.tasks ? one.group === kept.group && one.tasks : one.id === kept.id)) : -1;
    const high = HEAD + Math.max(SHORTEST, this.lines.length) * ROW + 6;
    this.sheet.style.height = `${high}px`;
    this.window.style.height = `${Math.min(TALLEST, Math.max(SMALLEST, innerHeight * 0.7), high + EDGES)}px`;
    this.resize();
    if (!this.isBegun) this.view.begin();
    this.isBegun = true;
  }

  // ---- the picture ----

  resize() {
    const { clientWidth, clientHeight } = this.window;
    const { picture } = this;
    if (picture.width !== clientWidth || picture.height !== clientHeight || picture.dots !== window.devicePixelRatio) {
      picture.size(clientWidth, clientHeight);
    }
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.view.follow();
      this.top = this.window.scrollTop;
      this.picture.draw(this);
    });
    if (this.rows.goesOn && !this.next) {
      this.next = setTimeout(() => {
        this.next = 0;
        if (!document.hidden) this.draw();
      }, FRAME);
    }
  }

  // Where time is zoomed into: what the keyboard is on, else the middle.
  #middle() {
    const one = this.lines[this.active];
    const { left, right } = this.picture;
    if (one?.begin == null) return (left + right) / 2;
    return bounded(this.picture.x((one.begin + this.rows.endOf(one)) / 2, this.view), left, right);
  }

  // ---- lines ----

  lineAt(y) {
    const line = Math.floor((y - HEAD + this.window.scrollTop) / ROW);
    return y >= HEAD && line < this.lines.length ? line : -1;
  }

  choose(line) {
    this.active = bounded(line, 0, this.lines.length - 1);
    const one = this.lines[this.active];
    if (!one) return;
    const top = this.active * ROW;
    const room = this.window.clientHeight - HEAD;
    if (top < this.window.scrollTop) this.window.scrollTop = top;
    else if (top + ROW > this.window.scrollTop + room) this.window.scrollTop = top + ROW - room + 6;
    this.said.textContent = this.#words(one).join(", ");
    if (one.begin != null) this.view.reveal(one.begin, this.rows.endOf(one));
    this.#tellActive();
    this.draw();
  }

  leave() {
    this.active = -1;
    this.tip.hide();
    this.said.textContent = "";
    this.draw();
  }

  nextFailed() {
    this.choose(this.failed.find((line) => line > this.active) ?? this.failed[0] ?? this.active);
  }

  open(line = this.active) {
    const one = this.lines[line];
    if (!one) return;
    if (!one.tasks) return location.assign(this.tasks + one.id);
    if (!this.folded.delete(one.group)) this.folded.add(one.group);
    this.#arrange();
  }

  #words(one) {
    if (one.tasks) return [`Group ${one.name}`, `${one.tasks.length} tasks`, this.folded.has(one.group) ? "folded" : "unfolded"];
    const words = [one.name, one.status];
    if (one.begin !== null) {
      words.push(lasting((this.rows.endOf(one) - one.begin) / 1000), `began at ${offset(one.begin)}`);
    }
    if (one.retries) words.push(`${one.retries + 1} attempts`);
    if (one.error) words.push(one.error);
    return words;
  }

  #tellActive() {
    const one = this.lines[this.active];
    const y = HEAD + this.active * ROW - this.window.scrollTop;
    if (!one || y < 0 || y > this.window.clientHeight) return void this.tip.hide();
    this.#tell(one, one.begin == null ? this.picture.left : this.picture.x(one.begin, this.view), y + ROW);
  }

  // Groups say all in their line.
  #tell(one, x, y) {
    if (one.tasks) this.tip.hide();
    else this.tip.tell(one, this.#facts(one), x, y);
  }

  #facts(one) {
    const facts = [];
    if (one.begin !== null) {
      const into = offset(Number(one.begin.toPrecision(4)));
      facts.push(["Began", `${clock(new Date(this.rows.base + one.begin))}, ${into === "0" ? "with the run" : `${into} into the run`}`]);
      facts.push([this.rows.isOpen(one) ? "So far" : "Took", lasting((this.rows.endOf(one) - one.begin) / 1000)]);
    }
    if (one.retries) facts.push(["Attempts", String(one.retries + 1)]);
    if (one.error) facts.push([one.status === "Failed" ? "Error" : "Last error", one.error]);
    return facts;
  }

  // A real link lies under the pointer: it opens in another tab, and says where it leads.
  #point(line) {
    const one = this.lines[line];
    this.hover = line;
    this.link.hidden = !one || Boolean(one.tasks);
    if (this.link.hidden) return this.link.removeAttribute("href");
    this.link.href = this.tasks + one.id;
    this.link.style.top = `${HEAD + line * ROW}px`;
  }

  // ---- pointers and keys ----

  #listen(section) {
    const { window: frame } = this;
    new ResizeObserver(() => this.resize()).observe(frame);
    frame.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    frame.addEventListener("pointermove", (event) => this.#moved(event));
    frame.addEventListener("pointerdown", (event) => this.#pressed(event));
    frame.addEventListener("pointerup", (event) => this.#released(event));
    frame.addEventListener("pointercancel", () => this.#let());
    frame.addEventListener("pointerleave", () => this.#left());
    frame.addEventListener("click", (event) => this.#clicked(event), true);
    frame.addEventListener("dblclick", (event) => this.#place(event).y < HEAD && this.view.fit());
    frame.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
    frame.addEventListener("keydown", (event) => this.#pushed(event));
    frame.addEventListener("blur", () => this.leave());
    section.addEventListener("click", ({ target }) => this.#do(target.closest("[data-do]")));
    document.addEventListener("click", ({ target }) => this.#showOpening(target.closest("[data-from]"), section));
    document.body.addEventListener("changed", () => this.refresh());
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => {
        this.picture.looks = null;
        this.draw();
      });
    }
  }

  #do(button) {
    const doing = button?.dataset.do;
    if (doing === "in") this.view.zoom(true, this.#middle());
    if (doing === "out") this.view.zoom(false, this.#middle());
    if (doing === "fit") this.view.fit();
    if (doing !== "only") return;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    this.#arrange();
  }

  #showOpening(button, section) {
    if (!button) return;
    const at = (moment) => Date.parse(moment) - this.rows.base;
    this.view.show(at(button.dataset.from), button.dataset.to ? at(button.dataset.to) : this.rows.extent()[1]);
    section.scrollIntoView({ block: "nearest" });
  }

  #place({ clientX, clientY }) {
    const { left, top } = this.window.getBoundingClientRect();
    return { x: clientX - left - this.window.clientLeft, y: clientY - top - this.window.clientTop };
  }

  #scrolled() {
    this.#point(this.at ? this.lineAt(this.at.y) : -1);
    if (this.at) this.tip.hide();
    else this.#tellActive();
    this.draw();
  }

  #moved(event) {
    const { x, y } = (this.at = this.#place(event));
    const { drag } = this;
    this.pointer = x;
    if (drag) {
      if (Math.abs(x - drag.x) > CLICK) drag.isMove = true;
      if (drag.onRuler) this.#jump(y);
      else if (drag.onScale) this.range = [drag.moment, this.picture.moment(x, this.view)];
      else if (drag.isMove) this.view.pan(drag.last - x);
      drag.last = x;
      this.tip.hide();
    } else {
      const line = this.lineAt(y);
      this.#point(line);
      if (line < 0 || event.pointerType === "touch") this.tip.hide();
      else this.#tell(this.lines[line], x, y);
    }
    this.draw();
  }

  #pressed(event) {
    if (event.button) return;
    const { x, y } = this.#place(event);
    this.#point(this.lineAt(y));
    const inside = x < this.picture.width;
    this.drag = {
      x, last: x,
      moment: this.picture.moment(x, this.view),
      onScale: y < HEAD && x >= this.picture.left,
      onRuler: inside && x > this.picture.width - RULER && y > HEAD,
    };
    if (this.drag.onRuler) this.#jump(y);
    if (this.drag.onScale || this.drag.onRuler) this.window.setPointerCapture(event.pointerId);
  }

  #jump(y) {
    const room = this.picture.height - HEAD;
    this.window.scrollTop = ((y - HEAD) / room) * this.lines.length * ROW - room / 2;
  }

  #released() {
    const { range, drag } = this;
    if (range && drag?.isMove) this.view.see(Math.min(...range), Math.max(...range));
    this.wasMove = Boolean(drag && (drag.isMove || drag.onScale || drag.onRuler));
    this.#let();
  }

  #let() {
    this.drag = this.range = null;
    this.draw();
  }

  #left() {
    this.pointer = -1;
    this.at = null;
    this.hover = -1;
    this.tip.hide();
    this.draw();
  }

  // A click that ended a move is none.
  #clicked(event) {
    if (this.wasMove) {
      this.wasMove = false;
      event.preventDefault();
      return;
    }
    const line = this.lineAt(this.#place(event).y);
    if (line >= 0 && event.target !== this.link) this.open(line);
  }

  #wheeled(event) {
    const { x } = this.#place(event);
    if (event.ctrlKey || event.metaKey) this.view.zoomBy(Math.exp(-event.deltaY / 200), x);
    else if (this.view.isFitted) return;
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.view.pan(event.deltaX);
    else if (event.shiftKey) this.view.pan(event.deltaY);
    else return;
    event.preventDefault();
  }

  #pushed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.floor((this.window.clientHeight - HEAD) / ROW) - 1;
    const wide = this.view.wide / 8;
    const keys = {
      ArrowDown: () => this.choose(this.active + 1),
      ArrowUp: () => this.choose(this.active - 1),
      PageDown: () => this.choose(this.active + page),
      PageUp: () => this.choose(this.active - page),
      Home: () => this.choose(0),
      End: () => this.choose(this.lines.length - 1),
      Enter: () => this.open(),
      Escape: () => (this.active >= 0 ? this.leave() : this.view.fit()),
      ArrowLeft: () => this.view.pan(-wide),
      ArrowRight: () => this.view.pan(wide),
      "+": () => this.view.zoom(true, this.#middle()),
      "=": () => this.view.zoom(true, this.#middle()),
      "-": () => this.view.zoom(false, this.#middle()),
      0: () => this.view.fit(),
      n: () => this.nextFailed(),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    keys[event.key]();
    event.preventDefault();
  }
}

for (const section of document.querySelectorAll(".waterfall[data-rows]")) new Waterfall(section);
