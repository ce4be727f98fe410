// Stepping through the runs of a page, whatever a run shows: slider, keys, links, findings, arrows.
// All text comes from the page's own data and goes in by textContent, so that nothing in a trace
// can become markup.
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
// What was sent and never came: a short line from its cell that ends in a cross.
const lostAt = (cell) => `M${cell.x ?? cell.left + 3} ${cell.y + 2}l8 5m-3 -3l6 6m0 -6l-6 6`;
// The text of an element, without that of what is pinned to it.
const ownText = (element) =>
  [...element.childNodes].filter((one) => one.nodeType === 3).map((one) => one.textContent).join("");

// What the runs of all pages have. Each page says of its own: move(position, scroll), the state after
// all rows with a number below `position`; said(at), what a row says; place(seq), where the cell of
// an event is, and curve(a, b), the way from one such place to another.
class SteppedRun {
  constructor(data, table) {
    this.data = data;
    this.section = document.querySelector(`[data-run="${data.key}"]`);
    this.table = this.section.querySelector(table);
    this.rows = data.seqs.map((seq) => document.getElementById(data.key + seq));
    this.when = this.section.querySelector("[data-when]");
    this.done = 0;      // rows done
    this.arrows = [];
  }
  told() {
    const { seqs, arrows } = this.data;
    if (!this.done) return "before the first event shown";
    const seq = seqs[this.done - 1];
    const from = arrows.find((arrow) => arrow[1] === seq);
    const by = from ? `, handed over by event ${from[0]}` : "";
    return `event ${seq}: ${this.said(this.done - 1)}${by}`;
  }
  heading(over) {
    const { seqs } = this.data;
    this.when.textContent = over ? "State at the end"
      : this.done ? `State after event ${seqs[this.done - 1]}` : `State before event ${seqs[0] ?? 0}`;
  }
  // Arrows from who gave to who got: only the script knows where the cells are.
  draw() {
    const picture = this.section.querySelector("svg.arrows");
    picture.replaceChildren();
    this.arrows = [];
    picture.setAttribute("width", this.table.offsetWidth);
    picture.setAttribute("height", this.table.offsetHeight);
    for (const [from, to, why] of this.data.arrows) {
      const a = this.place(from);
      const b = to < 0 ? a : this.place(to);
      if (!a || !b) continue;
      const path = svg("path");
      path.setAttribute("d", to < 0 ? lostAt(a) : this.curve(a, b));
      const title = svg("title");
      title.textContent = to < 0 ? `${why}: lost, event ${from}` : `${why}: event ${from} to event ${to}`;
      path.append(title);
      path.classList.toggle("lost", to < 0);
      picture.append(path);
      this.arrows.push([path, from, to]);
    }
    this.light();
  }
  light() {
    const seq = this.done > 0 ? this.data.seqs[this.done - 1] : -1;
    for (const [path, from, to] of this.arrows) path.classList.toggle("lit", from === seq || to === seq);
  }
}

// All runs of a page, in step. `now`: shows what is told of a position; `view`: what of a run is
// brought into view by a link to an event; `isSwitch`: whether the row of an event is a switch.
class Stepper {
  constructor(runs, { now, view, isSwitch }) {
    const numbers = runs.map((run) => run.data.seqs);
    const firsts = numbers.filter((seqs) => seqs.length).map((seqs) => seqs[0]);
    // The positions to step to: how many events of the whole run are done.
    this.seqs = [...new Set([
      firsts.length ? Math.min(...firsts) : 0,
      ...numbers.flatMap((seqs) => seqs.map((seq) => seq + 1)),
    ])].sort((a, b) => a - b);
    this.at = this.seqs.length - 1;
    Object.assign(this, { runs, now, view, isSwitch, finding: -1 });
    this.findings = [...document.querySelectorAll(".findings li[data-events]")];
    this.scrub = document.getElementById("scrub");
    this.controls = document.getElementById("controls");
    for (const run of runs) {
      run.rows.forEach((row, at) => row.addEventListener("click", () => this.goAfter(run.data.seqs[at])));
    }
  }
  go(to, scroll = true) {
    const { runs, seqs, scrub } = this;
    this.at = Math.max(0, Math.min(seqs.length - 1, to));
    runs.forEach((run) => run.move(seqs[this.at], scroll));
    scrub.value = String(this.at);
    const said = runs[0].told();
    scrub.setAttribute("aria-valuetext", said);
    const both = runs.length > 1 && runs[1].told() !== said ? `\ntwin: ${runs[1].told()}` : "";
    this.now(`${said}${both}`);
  }
  // To where the event has just been done.
  goAfter(seq) {
    this.go(this.seqs.indexOf(seq + 1));
  }
  jump(id) {
    const run = this.runs.find((one) => id.startsWith(one.data.key));
    const seq = Number(id.slice(1));
    if (!run || !run.data.seqs.includes(seq)) return false;
    this.goAfter(seq);
    this.view(run).scrollIntoView({ block: "nearest" });
    return true;
  }
  toSwitch(way) {
    for (let to = this.at + way; to > 0 && to < this.seqs.length; to += way) {
      if (this.runs.some((run) => this.isSwitch(run, this.seqs[to] - 1))) return this.go(to);
    }
    return undefined;
  }
  mark(item) {
    document.querySelectorAll("tr.hit").forEach((row) => row.classList.remove("hit"));
    this.finding = this.findings.indexOf(item);
    this.findings.forEach((one) => one.classList.toggle("chosen", one === item));
    for (const seq of item.dataset.events.split(" ")) {
      const row = document.getElementById("a" + seq);
      if (row) row.classList.add("hit");
    }
  }
  toFinding() {
    const { findings } = this;
    if (!findings.length) return;
    const item = findings[(this.finding + 1) % findings.length];
    const fold = item.closest("details");
    if (fold) fold.open = true;
    this.mark(item);
    item.scrollIntoView({ block: "nearest" });
    const link = item.querySelector("a");
    if (link) this.jump(link.getAttribute("href").slice(1));
  }
  // From now on the page answers. `own`: the moves of this page, back, next and matter; `more`: keys
  // that no other page has.
  listen(own, more = {}) {
    const moves = { first: () => this.go(0), last: () => this.go(this.seqs.length - 1), ...own };
    const keys = {
      ArrowLeft: moves.back, ArrowRight: moves.next, k: moves.back, j: moves.next,
      Home: moves.first, End: moves.last,
      PageUp: () => this.go(this.at - 10), PageDown: () => this.go(this.at + 10),
      n: () => this.toSwitch(1), p: () => this.toSwitch(-1), f: () => this.toFinding(),
      m: moves.matter, t: turnTheme, ...more,
    };
    this.controls.hidden = false;
    this.scrub.max = String(this.seqs.length - 1);
    this.scrub.addEventListener("input", () => this.go(Number(this.scrub.value)));
    this.controls.addEventListener("click", (event) => {
      const button = event.target.closest("[data-go]");
      if (button) moves[button.dataset.go]();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest('a[href^="#"]');
      if (!link) return;
      const item = link.closest("[data-events]");
      if (item) this.mark(item);
      if (this.jump(link.getAttribute("href").slice(1))) {
        event.preventDefault();
        history.replaceState(null, "", link.getAttribute("href"));
      }
    });
    let wait = 0;
    addEventListener("resize", () => {
      cancelAnimationFrame(wait);
      wait = requestAnimationFrame(() => this.runs.forEach((run) => run.draw()));
    });
  }
  // The page is as it shall be seen first.
  ready() {
    this.runs.forEach((run) => run.draw());
    document.documentElement.dataset.ready = "yes";
  }
}
