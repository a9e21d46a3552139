// What a waterfall shows: the rows of a run, fetched a slice at a time, and later those that changed.

const FIRST = 1000; // rows that are asked for at once, so that something is seen soon
const MORE = 5000;
const GOES_ON = new Set(["In progress", "Retry", "Paused"]);
const NO_GROUP = new Set(["", "default"]);

export class Rows {
  constructor(address) {
    this.address = address;
    this.forget();
  }

  forget() {
    this.tasks = new Map();
    this.openings = [];
    this.base = this.planned = null;
    this.seen = "";
    this.now = this.end = 0;
    this.goesOn = false;
  }

  // Asks for all rows, or for those that have changed, and says after each slice that it is there.
  async load(arrived) {
    if (this.seen && (await this.#slices(this.seen, arrived))) return;
    this.forget();
    await this.#slices("", arrived);
  }

  async #slices(since, arrived) {
    let after = null;
    let seen = "";
    do {
      const answer = await this.#ask(since, after);
      if (since && (answer.base !== this.base || answer.planned !== this.planned)) return false;
      this.#take(answer);
      seen ||= answer.seen; // of the first one: what changes meanwhile is asked for again
      after = answer.next;
      if (after === null) this.seen = seen;
      arrived();
    } while (after !== null);
    return true;
  }

  async #ask(since, after) {
    const query = new URLSearchParams({ limit: after === null && !since ? FIRST : MORE });
    if (since) query.set("since", since);
    if (after !== null) query.set("after", after);
    const answer = await fetch(`${this.address}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
    return answer.json();
  }

  #take({ base, planned, now, end, status, openings, rows }) {
    Object.assign(this, { base, planned, openings });
    this.ahead = now - Date.now(); // by the server's clock, counted from the run's beginning
    this.goesOn = status === "In progress";
    this.end = end ?? 0;
    for (const [id, name, group, state, begin, stop, attempts, retries, error] of rows) {
      this.tasks.set(id, { id, name, group, status: state, begin, end: stop, attempts, retries, error });
    }
  }

  get moment() {
    return this.ahead + Date.now();
  }

  isOpen(task) {
    return task.end === null && this.goesOn && GOES_ON.has(task.status);
  }

  // When a task ends, as far as it is known: now, where it goes on.
  endOf(task) {
    if (task.end !== null) return Math.max(task.begin, task.end);
    if (this.isOpen(task)) return Math.max(task.begin, this.moment);
    const known = task.attempts.flat().filter((one) => one !== null);
    return Math.max(task.begin, this.end || task.begin, ...known);
  }

  extent() {
    let begin = 0;
    let end = this.goesOn ? this.moment : this.end;
    for (const task of this.tasks.values()) {
      if (task.begin === null) continue;
      begin = Math.min(begin, task.begin);
      end = Math.max(end, this.endOf(task));
    }
    return [begin, Math.max(end, begin + 0.001)];
  }

  // What is drawn, line by line: tasks by their numbers, each group's below a line of its own.
  lines(isWanted, folded) {
    const groups = new Map();
    for (const task of [...this.tasks.values()].sort((a, b) => a.id - b.id)) {
      if (!groups.has(task.group)) groups.set(task.group, []);
      groups.get(task.group).push(task);
    }
    const isGrouped = [...groups.keys()].some((name) => !NO_GROUP.has(name));
    const lines = [];
    for (const [name, tasks] of groups) {
      const wanted = tasks.filter(isWanted);
      if (!wanted.length) continue;
      if (isGrouped) lines.push({ group: name, name: name || "default", tasks });
      if (isGrouped && folded.has(name)) continue;
      for (const task of wanted) lines.push(task);
    }
    return lines;
  }
}
