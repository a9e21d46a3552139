// The picture of a waterfall: a canvas of the size of its window, on which the rows in sight are
// drawn, however many there are.
import { lasting } from "./page.js";

export const ROW = 26; // pixels, as all below
export const HEAD = 30;
export const RULER = 12; // at the right edge: where among all rows the failed ones are
const BAR = 12;
const LEAST = 2; // the narrowest bar
export const MARKS = {
  Completed: "✓", Failed: "✗", Retry: "↻", "In progress": "▸", Paused: "‖", "Not started": "○",
};
const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [
  ...[0.001, 0.01, 0.1, 1, 10, 100].flatMap((one) => [one, 2 * one, 5 * one]),
  ...[1, 2, 5, 10, 15, 30].map((one) => one * SECOND), ...[1, 2, 5, 10, 15, 30].map((one) => one * MINUTE),
  ...[1, 2, 3, 6, 12].map((one) => one * HOUR), ...[1, 2, 7, 30].map((one) => one * DAY),
];

export const bounded = (value, least, most) => Math.max(least, Math.min(most, value));

// A moment of the run, counted from its beginning, for the scale.
export function offset(milliseconds) {
  const size = Math.abs(milliseconds);
  const tidy = (number) => String(Number(number.toFixed(3)));
  if (size === 0) return "0";
  if (size < 1) return `${tidy(milliseconds * 1000)} µs`;
  if (size < SECOND) return `${tidy(milliseconds)} ms`;
  if (size < MINUTE) return `${tidy(milliseconds / SECOND)} s`;
  const parts = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];
  const said = [];
  let rest = Math.round(size);
  for (const [unit, name] of parts) {
    const number = unit === SECOND ? tidy(rest / SECOND) : Math.floor(rest / unit);
    if (Number(number)) said.push(`${number} ${name}`);
    rest %= unit;
  }
  return (milliseconds < 0 ? "−" : "") + said.join(" ");
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.size(1, 1);
  }

  size(width, height) {
    this.dots = window.devicePixelRatio || 1;
    Object.assign(this, { width, height });
    this.canvas.width = Math.round(width * this.dots);
    this.canvas.height = Math.round(height * this.dots);
    this.names = width < 560 ? Math.round(width * 0.42) : bounded(Math.round(width * 0.27), 190, 340);
    this.left = this.names;
    this.right = width - RULER - 8;
    this.looks = null;
  }

  // Colours are those of the style; they are read anew when it changes.
  #look() {
    const style = getComputedStyle(this.canvas);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    const statuses = Object.keys(MARKS).map((one) => [one, of(one.toLowerCase().replace(" ", "-"))]);
    this.looks = {
      ...Object.fromEntries(["raised", "hover", "line", "text", "muted", "accent", "rest", "calm"].map((one) => [one, of(one)])),
      status: Object.fromEntries(statuses),
      font: style.fontFamily,
      stripes: new Map(),
    };
  }

  #font(size, weight = 400) {
    this.pen.font = `${weight} ${size}px ${this.looks.font}`;
  }

  // What goes on is striped: it is told from what has ended without its colour too.
  #striped(colour) {
    const { stripes } = this.looks;
    if (!stripes.has(colour)) {
      const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
      const pen = tile.getContext("2d");
      pen.fillStyle = colour;
      pen.globalAlpha = 0.45;
      pen.fillRect(0, 0, 8, 8);
      pen.globalAlpha = 1;
      pen.beginPath();
      for (const [x, y] of [[0, 8], [-4, 4], [4, 12]]) {
        pen.moveTo(x, y); pen.lineTo(x + 8, y - 8); pen.lineTo(x + 11, y - 8); pen.lineTo(x + 3, y);
      }
      pen.fill();
      stripes.set(colour, this.pen.createPattern(tile, "repeat"));
    }
    return stripes.get(colour);
  }

  x(moment, view) {
    const x = this.left + ((moment - view.from) / (view.to - view.from)) * (this.right - this.left);
    return bounded(x, this.left - 40, this.right + 40);
  }

  moment(x, view) {
    return view.from + ((x - this.left) / (this.right - this.left)) * (view.to - view.from);
  }

  draw(state) {
    if (!this.looks) this.#look();
    const { pen, width, height, looks } = this;
    pen.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    pen.fillStyle = looks.raised;
    pen.fillRect(0, 0, width, height);
    pen.textBaseline = "middle";
    pen.direction = "ltr";
    const first = Math.floor(state.top / ROW);
    const last = Math.min(state.lines.length, first + Math.ceil((height - HEAD) / ROW) + 1);
    const y = (line) => HEAD + line * ROW - state.top;
    for (const line of [state.hover, state.active]) {
      if (line < first || line >= last) continue;
      pen.fillStyle = looks.hover;
      pen.fillRect(0, y(line), width, ROW);
      if (line !== state.active) continue;
      pen.fillStyle = looks.accent;
      pen.fillRect(0, y(line), 3, ROW);
    }
    this.#grid(state);
    for (let line = first; line < last; line += 1) {
      const one = state.lines[line];
      if (one.tasks) this.#group(one, y(line), state);
      else this.#task(one, y(line), state);
    }
    if (!state.lines.length) this.#nothing(state);
    this.#head(state);
    this.#ruler(state);
  }

  #nothing({ rows }) {
    this.#font(12.5);
    this.pen.fillStyle = this.looks.muted;
    const words = rows.tasks.size ? "No task failed." : rows.goesOn ? "Waiting for the first task." : "There is no task.";
    this.pen.fillText(words, 14, HEAD + ROW / 2);
  }

  *#ticks({ view }) {
    const span = view.to - view.from;
    const wide = this.right - this.left;
    const room = wide / (view.from > HOUR ? 150 : wide < 300 ? 64 : 96); // a phone has a scale too
    const step = STEPS.find((one) => span / one <= room) ?? DAY * Math.ceil(span / room / DAY);
    for (let at = Math.ceil(view.from / step); at * step <= view.to; at += 1) yield at * step;
  }

  #grid(state) {
    const { pen } = this;
    pen.fillStyle = this.looks.line;
    for (const tick of this.#ticks(state)) pen.fillRect(Math.round(this.x(tick, state.view)), HEAD, 1, this.height);
    pen.fillStyle = this.looks.muted;
    for (const opening of state.rows.openings.slice(1)) {
      const x = Math.round(this.x(opening, state.view));
      for (let y = HEAD; y < this.height; y += 7) pen.fillRect(x, y, 1, 4);
    }
    if (state.rows.goesOn) {
      pen.fillStyle = this.looks.accent;
      pen.fillRect(Math.round(this.x(state.rows.moment, state.view)), HEAD, 1, this.height);
    }
  }

  #head(state) {
    const { pen, looks } = this;
    pen.fillStyle = looks.raised;
    pen.fillRect(0, 0, this.width, HEAD);
    pen.fillStyle = looks.line;
    pen.fillRect(0, HEAD - 1, this.width, 1);
    pen.textAlign = "center";
    this.#font(11.5);
    const [from, to] = this.#pointed(state);
    pen.fillStyle = looks.muted;
    let free = this.left - 10;
    for (const tick of this.#ticks(state)) {
      const words = offset(tick);
      const half = pen.measureText(words).width / 2;
      const x = bounded(this.x(tick, state.view), this.left + half, this.right - half);
      if (x - half < free || (x + half > from && x - half < to)) continue;
      pen.fillText(words, x, HEAD / 2);
      free = x + half + 14;
    }
    pen.textAlign = "left";
  }

  // What is under the pointer: a moment, or the time that somebody marks; gives what it covers.
  #pointed(state) {
    const { pen, looks, left, right } = this;
    if (state.range) {
      const [from, to] = state.range.map((one) => this.x(one, state.view)).sort((a, b) => a - b);
      pen.globalAlpha = 0.16;
      pen.fillStyle = looks.accent;
      pen.fillRect(from, 0, to - from, this.height);
      pen.globalAlpha = 1;
      return [0, 0];
    }
    if (state.pointer < left || state.pointer > right) return [0, 0];
    pen.fillStyle = looks.muted;
    pen.globalAlpha = 0.35;
    pen.fillRect(Math.round(state.pointer), HEAD, 1, this.height);
    pen.globalAlpha = 1;
    const words = offset(this.#tidy(this.moment(state.pointer, state.view), state));
    const wide = pen.measureText(words).width + 12;
    const x = bounded(state.pointer, left + wide / 2, right - wide / 2);
    this.#box(x - wide / 2, 5, wide, HEAD - 11, 4, looks.text);
    pen.fillStyle = looks.raised;
    pen.fillText(words, x, HEAD / 2);
    return [x - wide / 2 - 6, x + wide / 2 + 6];
  }

  // A moment as exactly as a pixel can say it.
  #tidy(moment, { view }) {
    const least = 10 ** Math.floor(Math.log10((view.to - view.from) / (this.right - this.left)));
    return Number((Math.round(moment / least) * least).toPrecision(12));
  }

  #ruler({ lines, failed, top }) {
    const room = this.height - HEAD;
    if (lines.length * ROW <= room) return;
    const { pen, looks } = this;
    pen.fillStyle = looks.status.Failed;
    const place = (line) => HEAD + Math.floor((line / lines.length) * room);
    for (const line of failed) pen.fillRect(this.width - RULER, place(line), RULER - 4, 2);
    pen.fillStyle = looks.muted;
    pen.globalAlpha = 0.5;
    const high = Math.max(8, (room / (lines.length * ROW)) * room);
    pen.fillRect(this.width - 3, HEAD + (top / (lines.length * ROW)) * room, 2, high);
    pen.globalAlpha = 1;
  }

  #box(x, y, width, height, round, fill) {
    this.pen.fillStyle = fill;
    this.pen.beginPath();
    this.pen.roundRect(x, y, width, height, Math.min(round, width / 2));
    this.pen.fill();
  }

  #said(words, x, y, room) {
    const { pen } = this;
    if (room < 12) return;
    let shown = words;
    if (pen.measureText(shown).width > room) {
      let [least, most] = [0, Math.min(words.length, Math.ceil(room / 2))];
      while (least < most) {
        const half = Math.ceil((least + most) / 2);
        if (pen.measureText(`${words.slice(0, half)}…`).width <= room) least = half;
        else most = half - 1;
      }
      shown = `${words.slice(0, least).trimEnd()}…`;
    }
    pen.fillText(shown, x, y);
  }

  #group(group, y, state) {
    const { pen, looks } = this;
    const middle = y + ROW / 2 + 1;
    const failed = group.tasks.filter((one) => one.status === "Failed").length;
    pen.fillStyle = looks.muted;
    this.#font(10);
    pen.fillText(state.folded.has(group.group) ? "▸" : "▾", 14, middle);
    this.#font(12.5, 600);
    pen.fillStyle = looks.text;
    this.#said(group.name, 30, middle, this.names - 40);
    const begun = group.tasks.filter((one) => one.begin !== null);
    this.#clipped(() => {
      let free = this.left;
      if (begun.length) {
        const from = this.x(begun.reduce((least, one) => Math.min(least, one.begin), Infinity), state.view);
        const to = this.x(begun.reduce((most, one) => Math.max(most, state.rows.endOf(one)), 0), state.view);
        this.#box(from, middle - 2, Math.max(LEAST, to - from), 3, 1.5, looks.rest);
        free = to;
      }
      const words = [`${group.tasks.length} ${group.tasks.length === 1 ? "task" : "tasks"}`, failed ? `${failed} failed` : ""];
      this.#font(11.5);
      this.#beside(words, failed ? looks.status.Failed : looks.muted, this.left, free, middle);
    });
  }

  #task(task, y, state) {
    const { pen, looks } = this;
    const middle = y + ROW / 2 + 1;
    const colour = looks.status[task.status] ?? looks.muted;
    const indent = state.isGrouped ? 30 : 14;
    pen.fillStyle = colour;
    this.#font(12, 600);
    pen.fillText(MARKS[task.status] ?? "·", indent, middle);
    this.#font(12.5, task.status === "Failed" ? 600 : 400);
    pen.fillStyle = task.status === "Not started" ? looks.muted : looks.text;
    this.#said(task.name, indent + 18, middle, this.names - indent - 28);
    if (task.begin === null) {
      this.#font(11.5);
      pen.fillStyle = looks.muted;
      if (task.status !== "Not started") pen.fillText("did not say when", this.left + 8, middle);
      return;
    }
    this.#clipped(() => this.#bar(task, colour, middle, state));
  }

  #bar(task, colour, middle, state) {
    const { looks } = this;
    const end = state.rows.endOf(task);
    const goesOn = state.rows.isOpen(task);
    const fill = task.status === "Completed" ? looks.calm : colour; // what went well is quiet
    const part = (from, to, fill) => {
      const x = this.x(from, state.view);
      this.#box(x, middle - BAR / 2 - 1, Math.max(LEAST, this.x(to, state.view) - x), BAR, 3, fill);
    };
    const attempts = task.attempts.length ? task.attempts : [[task.begin, task.end]];
    if (attempts.length > 1 || attempts[0][0] > task.begin) {
      this.pen.globalAlpha = 0.22; // the waiting between attempts, too, is of the task
      part(task.begin, end, fill);
      this.pen.globalAlpha = 1;
    }
    attempts.forEach(([from, to], number) => {
      const isLast = number === attempts.length - 1;
      const isOpen = isLast && to === null && goesOn;
      part(from, to ?? end, isOpen ? this.#striped(colour) : isLast ? fill : looks.status.Retry);
    });
    this.#font(11.5);
    const words = [lasting((end - task.begin) / SECOND), task.retries ? `${task.retries + 1} attempts` : "", task.error && task.status === "Failed" ? task.error : ""];
    const ink = task.status === "Failed" ? looks.status.Failed : looks.muted;
    this.#beside(words, ink, this.x(task.begin, state.view), this.x(end, state.view), middle);
  }

  // Words stand at the right of a bar, or at its left where only there is room; the first of them
  // say the most.
  #beside(words, colour, from, to, middle) {
    const { pen, left, right } = this;
    pen.fillStyle = colour;
    if (to < left) return pen.fillText("‹", left + 4, middle);
    if (from > right) return pen.fillText("›", right - 10, middle);
    const room = Math.max(right - to, from - left) - 8;
    const wide = (some) => pen.measureText(some.join("  ·  ")).width;
    let kept = words.filter(Boolean);
    while (kept.length > 1 && wide(kept) > room) kept = kept.slice(0, -1);
    const size = wide(kept);
    const isRight = to + 8 + size <= right || size > room;
    const x = isRight ? Math.min(to + 8, right - size - 6) : from - 8 - size;
    if (isRight && x < to) this.#box(x - 5, middle - 9, size + 10, 17, 4, this.looks.raised);
    pen.fillStyle = colour;
    pen.fillText(kept.join("  ·  "), x, middle);
  }

  #clipped(draw) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(this.left - 1, HEAD, this.right - this.left + 8, this.height);
    this.pen.clip();
    draw();
    this.pen.restore();
  }
}
