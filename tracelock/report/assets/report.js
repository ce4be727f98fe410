// Steps through the runs of a report. The page is readable without it; all text comes from the
// page's own data and goes in by textContent, so that nothing in a trace can become markup.
"use strict";
(() => {
  const source = document.getElementById("data");
  const root = document.documentElement;
  if (!source) return;

  // --- one run ------------------------------------------------------------------------------
  class Run {
    constructor(data) {
      this.data = data;
      this.section = document.querySelector(`[data-run="${data.key}"]`);
      this.scroll = this.section.querySelector(".scroll");
      this.table = this.section.querySelector("table.lanes");
      this.when = this.section.querySelector("[data-when]");
      this.slots = [...this.section.querySelectorAll("[data-state],[data-text],[data-line]")];
      this.rows = data.seqs.map((seq) => document.getElementById(data.key + seq));
      this.names = [...this.table.querySelectorAll("thead th")].slice(1).map((th) => th.textContent);
      this.start = this.table.querySelector("tr.start, tr.gap");
      this.values = data.init.slice();
      this.done = 0;      // rows done
      this.current = null;
      this.shown = new Array(this.slots.length).fill(-1);
      this.arrows = [];
      this.rows.forEach((row, at) => row.addEventListener("click", () => go(seqs.indexOf(data.seqs[at] + 1))));
    }
    // The state after all rows with a number below `position`.
    move(position, scroll) {
      const { seqs, rows, init } = this.data;
      let done = this.done;
      if (!done || seqs[done - 1] >= position) {
        done = 0;
        this.values = init.slice();
      }
      for (; done < seqs.length && seqs[done] < position; done++) {
        const change = rows[done];
        for (let i = 0; i < change.length; i += 2) this.values[change[i]] = change[i + 1];
      }
      const before = this.done;
      this.done = done;
      this.show(Math.abs(done - before) === 1);
      const over = done === seqs.length && this.atEnd();
      this.table.classList.toggle("over", over);
      const row = done ? this.rows[done - 1] : this.start;
      if (this.current) this.current.classList.remove("now");
      this.current = row;
      if (row) row.classList.add("now");
      if (scroll && row) this.reveal(row);
      this.light(done ? seqs[done - 1] : -1);
      if (this.when) {
        this.when.textContent = over
          ? "State at the end"
          : done ? `State after event ${seqs[done - 1]}` : `State before event ${seqs[0] ?? 0}`;
      }
    }
    atEnd() {
      const { seqs, total } = this.data;
      return !seqs.length || seqs[seqs.length - 1] === total - 1;
    }
    show(mark) {
      this.slots.forEach((element, slot) => {
        const value = this.values[slot];
        if (value === this.shown[slot]) {
          element.classList.remove("changed");
          return;
        }
        const said = this.data.texts[value];
        if ("state" in element.dataset) element.dataset.kind = said;
        else if ("line" in element.dataset) this.point(element, Number(said));
        else {
          element.textContent = said;
          element.classList.toggle("changed", mark);
        }
        this.shown[slot] = value;
      });
    }
    point(list, line) {
      const old = list.querySelector(".here");
      if (old) {
        old.classList.remove("here");
        old.removeAttribute("aria-current");
      }
      const element = line >= 0 ? list.children[line] : null;
      if (!element) return;
      element.classList.add("here");
      element.setAttribute("aria-current", "step");
      const top = element.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + element.offsetHeight > list.scrollTop + list.clientHeight) {
        list.scrollTop = top - list.clientHeight / 2;
      }
    }
    reveal(row) {
      const head = this.table.tHead.offsetHeight;
      const top = row.offsetTop - head;
      const end = row.offsetTop + row.offsetHeight;
      const view = this.scroll;
      if (top < view.scrollTop || end > view.scrollTop + view.clientHeight) {
        view.scrollTop = Math.max(0, top - view.clientHeight / 3);
      }
      const worker = this.done ? this.data.workers[this.done - 1] : -1;
      const cell = worker >= 0 && row.cells[worker + 1];
      if (cell && (cell.offsetLeft < view.scrollLeft + row.cells[0].offsetWidth ||
          cell.offsetLeft + cell.offsetWidth > view.scrollLeft + view.clientWidth)) {
        view.scrollLeft = Math.max(0, cell.offsetLeft - row.cells[0].offsetWidth - 8);
      }
    }
    told() {
      const { seqs, workers, arrows } = this.data;
      if (!this.done) return "before the first event shown";
      const seq = seqs[this.done - 1];
      const worker = workers[this.done - 1];
      const cell = this.rows[this.done - 1].cells[Math.max(worker, 0) + 1];
      // the cell's own text, without what is pinned to it
      const text = [...cell.childNodes].filter((one) => one.nodeType === 3);
      const said = text.map((one) => one.textContent).join("");
      const from = arrows.find((arrow) => arrow[1] === seq);
      const by = from ? `, handed over by event ${from[0]}` : "";
      return `event ${seq}: ${this.names[worker] ?? ""} ${said}${by}`;
    }
    // Arrows from who gave to who got: only the script knows where the cells are.
    draw() {
      const svg = this.section.querySelector("svg.arrows");
      svg.replaceChildren();
      this.arrows = [];
      svg.setAttribute("width", this.table.offsetWidth);
      svg.setAttribute("height", this.table.offsetHeight);
      const worker = new Map(this.data.seqs.map((seq, at) => [seq, this.data.workers[at]]));
      for (const [from, to, why] of this.data.arrows) {
        const a = this.place(from, worker.get(from));
        const b = this.place(to, worker.get(to));
        if (!a || !b) continue;
        const right = b.left > a.left;
        const reach = Math.min(80, (a.right - a.left) / 3);
        const x1 = right ? a.right - reach : a.left + 2;
        const x2 = right ? b.left + 1 : b.right - reach;
        const bend = (x2 - x1) / 2;
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("d", `M${x1} ${a.y}C${x1 + bend} ${a.y} ${x2 - bend} ${b.y} ${x2} ${b.y}` +
          `m${right ? -5 : 5} -3.5l${right ? 5 : -5} 3.5l${right ? -5 : 5} 3.5`);
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = `${why}: event ${from} to event ${to}`;
        path.append(title);
        svg.append(path);
        this.arrows.push([path, from, to]);
      }
      this.light(this.done ? this.data.seqs[this.done - 1] : -1);
    }
    place(seq, worker) {
      const row = document.getElementById(this.data.key + seq);
      const cell = row && worker >= 0 && row.cells[worker + 1];
      if (!cell) return null;
      return {
        left: cell.offsetLeft, right: cell.offsetLeft + cell.offsetWidth,
        y: row.offsetTop + row.offsetHeight / 2,
      };
    }
    light(seq) {
      for (const [path, from, to] of this.arrows) {
        path.classList.toggle("lit", from === seq || to === seq);
      }
    }
  }

  // --- all of them, in step -----------------------------------------------------------------
  const data = JSON.parse(source.textContent);
  const runs = data.runs.map((run) => new Run(run));
  const firsts = data.runs.filter((run) => run.seqs.length).map((run) => run.seqs[0]);
  // The positions to step to: how many events of the whole run are done.
  const seqs = [...new Set([
    firsts.length ? Math.min(...firsts) : 0,
    ...data.runs.flatMap((run) => run.seqs.map((seq) => seq + 1)),
  ])].sort((a, b) => a - b);
  const scrub = document.getElementById("scrub");
  const now = document.getElementById("now");
  const controls = document.getElementById("controls");
  let at = seqs.length - 1;

  function go(to, scroll = true) {
    at = Math.max(0, Math.min(seqs.length - 1, to));
    runs.forEach((run) => run.move(seqs[at], scroll));
    scrub.value = String(at);
    const said = runs[0].told();
    scrub.setAttribute("aria-valuetext", said);
    const both = runs.length > 1 && runs[1].told() !== said ? `\ntwin: ${runs[1].told()}` : "";
    const total = Math.max(...data.runs.map((run) => run.total));
    now.textContent = `${seqs[at]} of ${total} done; ${said}${both}`;
    controls.dataset.at = String(at);
  }
  const jump = (id) => {
    const run = runs.find((one) => id.startsWith(one.data.key));
    const seq = Number(id.slice(1));
    if (!run || !run.data.seqs.includes(seq)) return false;
    go(seqs.indexOf(seq + 1));
    run.section.scrollIntoView({ block: "nearest" });
    return true;
  };
  const isSwitch = (row) => row && row.querySelector("em");
  const toSwitch = (way) => {
    for (let to = at + way; to > 0 && to < seqs.length; to += way) {
      if (runs.some((run) => isSwitch(document.getElementById(run.data.key + (seqs[to] - 1))))) return go(to);
    }
    return undefined;
  };
  const findings = [...document.querySelectorAll(".findings > ol > li")];
  let finding = -1;
  const mark = (item) => {
    document.querySelectorAll("tr.hit").forEach((row) => row.classList.remove("hit"));
    findings.forEach((one) => one.classList.toggle("chosen", one === item));
    for (const seq of item.dataset.events.split(" ")) {
      const row = document.getElementById("a" + seq);
      if (row) row.classList.add("hit");
    }
  };
  const toFinding = () => {
    if (!findings.length) return;
    finding = (finding + 1) % findings.length;
    mark(findings[finding]);
    findings[finding].scrollIntoView({ block: "nearest" });
    const link = findings[finding].querySelector("a");
    if (link) jump(link.getAttribute("href").slice(1));
  };
  const toTurn = () => {
    const row = document.querySelector("tr.turn");
    if (row) jump(row.id);
  };
  const moves = {
    first: () => go(0), back: () => go(at - 1), next: () => go(at + 1), last: () => go(seqs.length - 1),
  };
  const keys = {
    ArrowLeft: moves.back, ArrowRight: moves.next, k: moves.back, j: moves.next,
    Home: moves.first, End: moves.last, PageUp: () => go(at - 10), PageDown: () => go(at + 10),
    n: () => toSwitch(1), p: () => toSwitch(-1), f: toFinding, m: toTurn, t: turnTheme,
  };

  controls.hidden = false;
  scrub.max = String(seqs.length - 1);
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  controls.addEventListener("click", (event) => {
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
    if (item) {
      finding = findings.indexOf(item);
      mark(item);
    }
    if (jump(link.getAttribute("href").slice(1))) {
      event.preventDefault();
      history.replaceState(null, "", link.getAttribute("href"));
    }
  });
  let wait = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(wait);
    wait = requestAnimationFrame(() => runs.forEach((run) => run.draw()));
  });

  const wanted = location.hash.slice(1);
  go(seqs.length - 1, false);
  const focus = seqs.indexOf(data.at + 1);
  if (!(wanted && jump(wanted)) && seqs.length > 40 && focus >= 0) go(focus);
  else if (!wanted) runs.forEach((run) => run.current && run.reveal(run.current));
  runs.forEach((run) => run.draw());
  root.dataset.ready = "yes";
})();
