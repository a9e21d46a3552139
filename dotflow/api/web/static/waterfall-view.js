// What of a run's time is seen: all of it, as it grows, or a part that somebody chose.
import { bounded } from "./waterfall-picture.js";

const ZOOM = 1.6;
const CLOSEST = 0.001; // milliseconds that are seen at once, at least
const ASIDE = 64; // pixels at the right for what is said of the bar that ends last
const LATE = 4; // the last opening is shown alone where the run is so many times as long

export class View {
  constructor(rows, picture, changed) {
    Object.assign(this, { rows, picture, changed });
    this.from = 0;
    this.to = 1;
    this.isFitted = true;
  }

  get wide() {
    return this.picture.right - this.picture.left;
  }

  #whole() {
    const [from, to] = this.rows.extent();
    return [from, to + (to - from) * (ASIDE / Math.max(ASIDE, this.wide - ASIDE))];
  }

  // What goes on grows: all of it is seen as long as nobody chose a part.
  follow() {
    if (this.isFitted) [this.from, this.to] = this.#whole();
  }

  fit() {
    this.isFitted = true;
    this.follow();
    this.changed();
  }

  see(from, to) {
    const [first, last] = this.#whole();
    const span = bounded(to - from, CLOSEST, last - first);
    this.from = bounded(from, first, last - span);
    this.to = this.from + span;
    this.isFitted = span >= last - first;
    this.changed();
  }

  show(from, to) {
    const aside = (to - from) * 0.06;
    this.see(from - aside / 2, to + aside);
  }

  // What lies at the place stays there.
  zoom(isCloser, x) {
    this.zoomBy(isCloser ? ZOOM : 1 / ZOOM, x);
  }

  zoomBy(factor, x) {
    const at = this.picture.moment(x, this);
    this.see(at - (at - this.from) / factor, at + (this.to - at) / factor);
  }

  pan(pixels) {
    const by = (pixels / this.wide) * (this.to - this.from);
    if (!this.isFitted) this.see(this.from + by, this.to + by);
  }

  // Brings a bar into sight.
  reveal(begin, end) {
    if (this.isFitted || (begin < this.to && end > this.from)) return;
    const [middle, half] = [(begin + end) / 2, (this.to - this.from) / 2];
    this.see(middle - half, middle + half);
  }

  // A run that was resumed long after has its parts far from each other: the last one is shown.
  begin() {
    const { openings } = this.rows;
    if (openings.length < 2) return;
    const [first, last] = this.rows.extent();
    const latest = openings[openings.length - 1];
    if ((last - latest) * LATE < last - first) this.show(latest, last);
  }
}
