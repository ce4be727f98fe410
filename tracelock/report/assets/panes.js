// Steps through the runs of a report of real code. The page is readable without it; all text comes
// from the page's own data and goes in by textContent, so that nothing in a trace becomes markup.
(() => {
  const source = document.getElementById("data");
  const root = document.documentElement;
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const search = document.getElementById("search");
  const object = document.getElementById("object");

  class Run {
    constructor(own) {
      this.data = own;
      this.section = document.querySelector(`[data-run="${own.key}"]`);
      this.view = this.section.querySelector(".lanes-pane");
      this.table = this.section.querySelector("table.narrow");
      this.pane = this.section.querySelector(".source");
      this.when = this.section.querySelector("[data-when]");
      this.slots = [...this.section.querySelectorAll("[data-text]")];
      this.rows = own.seqs.map((seq) => document.getElementById(own.key + seq));
      this.lines = [...this.section.querySelectorAll("li[data-line]")];
      this.text = this.rows.map((row) => `${row.title} ${row.textContent}`.toLowerCase());
      this.lanesOff = new Set();
      this.visible = this.rows.map(() => true);
      this.done = -1;
      this.panel = [];
      this.drawn = [];   // what each line shows now
      this.arrows = [];
      this.objectName = "";
      this.rows.forEach((row, at) => row.addEventListener("click", () => go(seqs.indexOf(own.seqs[at] + 1))));
      this.chips = [...this.section.querySelectorAll(".chip")];
      this.chips.forEach((chip) => {
        chip.disabled = false;
        chip.setAttribute("aria-pressed", "true");
        chip.title = "show or hide its events";
        chip.addEventListener("click", () => {
          const lane = Number(chip.dataset.lane);
          const off = this.lanesOff.has(lane);
          if (off) this.lanesOff.delete(lane); else this.lanesOff.add(lane);
          chip.setAttribute("aria-pressed", String(off));
          filter();
        });
      });
      this.section.querySelector(".overview").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const seq = (event.clientX - box.left) / box.width * own.total;
        let best = 0;
        own.seqs.forEach((one, at) => {
          if (Math.abs(one - seq) < Math.abs(own.seqs[best] - seq)) best = at;
        });
        if (own.seqs.length) go(seqs.indexOf(own.seqs[best] + 1));
      });
    }
    // The state after all rows with a number below `position`.
    move(position, scroll) {
      const { seqs: own, panel } = this.data;
      let done = 0;
      while (done < own.length && own[done] < position) done++;
      if (this.done < 0 || done < this.done) { this.panel = panel[0].slice(); this.at = 0; }
      for (let at = this.at + 1; at <= done; at++) {
        for (let i = 0; i < panel[at].length; i += 2) this.panel[panel[at][i]] = panel[at][i + 1];
      }
      this.at = done;
      const near = Math.abs(done - this.done) === 1;
      this.done = done;
      this.slots.forEach((element, slot) => {
        const said = this.data.texts[this.panel[slot]];
        const changed = element.textContent !== said;
        if (changed) element.textContent = said;
        element.classList.toggle("changed", changed && near);
      });
      const over = this.over();
      this.fade(done);
      if (this.row) this.row.classList.remove("now");
      this.row = done ? this.rows[done - 1] : null;
      if (this.row) this.row.classList.add("now");
      this.paint(over);
      const seq = done ? own[done - 1] : -1;
      this.arrows.forEach(([path, a, b]) => path.classList.toggle("lit", a === seq || b === seq));
      const here = this.section.querySelector(".overview .here");
      for (const side of ["x1", "x2"]) here.setAttribute(side, String(seq + 1));
      this.when.textContent = over ? "State at the end"
        : done ? `State after event ${seq}` : `State before event ${own[0] ?? 0}`;
      if (scroll) {
        if (this.row) this.reveal(this.view, this.row, this.table.tHead.offsetHeight);
        else this.view.scrollTop = 0;
        const line = done ? this.data.lines[done - 1] : -1;
        const wanted = over && this.data.failing >= 0 ? this.data.failing : line;
        if (wanted >= 0) this.reveal(this.pane, this.lines[wanted], 40);
      }
    }
    // What comes later is faint; only the rows that change are touched.
    fade(done) {
      const from = Math.min(done, this.faded ?? this.rows.length);
      const to = Math.max(done, this.faded ?? this.rows.length);
      for (let at = from; at < to; at++) {
        const before = this.rows[at].previousElementSibling;
        this.rows[at].classList.toggle("later", at >= done);
        if (before && !before.id) before.classList.toggle("later", at >= done);
      }
      this.faded = done;
    }
    over() {
      const { seqs: own, total } = this.data;
      return this.done === own.length && (!own.length || this.isLast(own[own.length - 1], total));
    }
    // Nothing follows but what is folded: the table says so by the row of a gap otherwise.
    isLast() {
      const last = this.table.tBodies[0].lastElementChild;
      return !last || !last.classList.contains("gap");
    }
    // What stands at each line: who ran it, what was read or written, who is there now.
    paint(over) {
      const { trail, lanes, lines, facts, places, names, texts, failing, failed } = this.data;
      const state = new Map();
      const of = (line) => {
        if (!state.has(line)) state.set(line, { lanes: [], said: "" });
        return state.get(line);
      };
      let visit = "";
      for (let at = 0; at < this.done; at++) {
        for (const [lane, line] of trail[at]) {
          const one = of(line);
          one.lanes = one.lanes.filter((other) => other !== lane);
          one.lanes.push(lane);
        }
        const here = `${lanes[at]} ${lines[at]}`;
        const fact = texts[facts[at]];
        if (lines[at] >= 0 && fact) {
          const one = of(lines[at]);
          one.said = here === visit && one.said ? `${one.said}, ${fact}` : fact;
          one.said = one.said.slice(0, 400);
        }
        visit = here;
      }
      if (over && failing >= 0) of(failing).said = texts[failed];
      const where = places[this.done];
      const current = this.done ? lines[this.done - 1] : -1;
      this.lines.forEach((item, line) => {
        const one = state.get(line) ?? { lanes: [], said: "" };
        const here = where.flatMap((place, lane) => (place === line ? [lane] : []));
        const key = `${one.lanes}|${one.said}|${here}|${line === current && !over}`;
        if (this.drawn[line] === key) return;
        this.drawn[line] = key;
        for (let k = 0; k < 8; k++) item.classList.remove(`t${k}`);
        if (one.lanes.length) item.classList.add(`t${one.lanes[one.lanes.length - 1] % 8}`);
        item.classList.toggle("now", line === current && !over);
        item.classList.toggle("here", here.length > 0);
        const by = item.querySelector(".by");
        if (by) by.replaceChildren(...one.lanes.map((lane) => this.mark("i", lane, "")));
        const said = item.querySelector(".said");
        if (said) said.textContent = one.said;
        const who = item.querySelector(".who");
        if (who) who.replaceChildren(...here.map((lane) => this.mark("b", lane, names[lane])));
      });
    }
    mark(tag, lane, text) {
      const element = document.createElement(tag);
      element.className = `${tag === "b" ? "pill " : ""}k${lane % 8}`;
      element.textContent = text;
      return element;
    }
    reveal(view, element, head) {
      const box = view.getBoundingClientRect();
      const own = element.getBoundingClientRect();
      if (own.top < box.top + head || own.bottom > box.bottom - 8) {
        view.scrollTop += own.top - box.top - head - view.clientHeight / 3;
      }
    }
    told() {
      const { seqs: own, lanes, names, arrows } = this.data;
      if (!this.done) return "before the first event shown";
      const seq = own[this.done - 1];
      const from = arrows.find((arrow) => arrow[1] === seq);
      const by = from ? `, handed over by event ${from[0]}` : "";
      const row = this.rows[this.done - 1];
      const at = row.title.slice(row.title.lastIndexOf(", at ") + 2); // a place has no comma
      // without the flag that stands before it
      const said = [...row.lastElementChild.childNodes].filter((one) => one.nodeType === 3);
      const text = said.map((one) => one.textContent).join("").trim();
      return `event ${seq}: ${names[lanes[this.done - 1]] ?? ""} ${text}, ${at}${by}`;
    }
    // Arrows from who gave to who got, over the lanes alone: there is no text in them.
    draw() {
      const picture = this.section.querySelector("svg.arrows");
      picture.replaceChildren();
      this.arrows = [];
      picture.setAttribute("width", this.table.offsetWidth);
      picture.setAttribute("height", this.table.offsetHeight);
      for (const [from, to, why] of this.data.arrows) {
        const a = this.place(from);
        const b = this.place(to);
        if (!a || !b) continue;
        const bend = (b.y - a.y) / 2;
        const path = svg("path");
        path.setAttribute("d", `M${a.x} ${a.y + 5}C${a.x} ${a.y + bend} ${b.x} ${b.y - bend} ${b.x} ${b.y - 6}m-3 -4l3 4l3 -4`);
        const title = svg("title");
        title.textContent = `${why}: event ${from} to event ${to}`;
        path.append(title);
        picture.append(path);
        this.arrows.push([path, from, to]);
      }
      const seq = this.done > 0 ? this.data.seqs[this.done - 1] : -1;
      this.arrows.forEach(([path, a, b]) => path.classList.toggle("lit", a === seq || b === seq));
    }
    place(seq) {
      const at = this.data.seqs.indexOf(seq);
      const row = this.rows[at];
      const cell = row && !row.hidden && this.data.lanes[at] >= 0 && row.cells[this.data.lanes[at] + 1];
      if (!cell) return null;
      return { x: cell.offsetLeft + cell.offsetWidth / 2, y: row.offsetTop + row.offsetHeight / 2 };
    }
    // Which rows are shown, and which lines and rows have what is searched for.
    filter(words, name) {
      const objects = this.data.objects;
      const wanted = name === "" ? -1 : Number(name);
      this.rows.forEach((row, at) => {
        const found = !words || this.text[at].includes(words);
        this.visible[at] = found && !this.lanesOff.has(this.data.lanes[at]) &&
          (wanted < 0 || this.data.key !== "a" || objects[at] === wanted);
        row.hidden = !this.visible[at];
        row.classList.toggle("match", Boolean(words) && found);
      });
      const narrowed = this.visible.includes(false);
      for (const row of this.table.tBodies[0].rows) {
        if (row.classList.contains("why")) row.hidden = narrowed;
      }
      this.lines.forEach((item) => {
        const code = item.querySelector("code");
        item.classList.toggle("match", Boolean(words && code && code.textContent.toLowerCase().includes(words)));
      });
      if (words && !this.visible.includes(true)) {
        const first = this.lines.find((item) => item.classList.contains("match"));
        if (first) this.reveal(this.pane, first, 40);
      }
      this.draw();
    }
  }

  // --- all of them, in step -------------------------------------------------------------------
  const firsts = data.runs.filter((run) => run.seqs.length).map((run) => run.seqs[0]);
  const seqs = [...new Set([
    firsts.length ? Math.min(...firsts) : 0,
    ...data.runs.flatMap((run) => run.seqs.map((seq) => seq + 1)),
  ])].sort((a, b) => a - b);
  const runs = data.runs.map((run) => new Run(run));
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
    now.textContent = `${said}${both}`;
    now.title = now.textContent;
  }
  const shownAt = (to) => to === 0 || runs.some((run) => {
    const place = run.data.seqs.indexOf(seqs[to] - 1);
    return place >= 0 && run.visible[place];
  });
  const step = (way) => {
    for (let to = at + way; to >= 0 && to < seqs.length; to += way) if (shownAt(to)) return go(to);
    return undefined;
  };
  const jump = (id) => {
    const run = runs.find((one) => id.startsWith(one.data.key));
    const seq = Number(id.slice(1));
    if (!run || !run.data.seqs.includes(seq)) return false;
    go(seqs.indexOf(seq + 1));
    run.section.querySelector(".panes").scrollIntoView({ block: "nearest" });
    return true;
  };
  const toSwitch = (way) => {
    for (let to = at + way; to > 0 && to < seqs.length; to += way) {
      if (runs.some((run) => run.data.switches.includes(run.data.seqs.indexOf(seqs[to] - 1)))) return go(to);
    }
    return undefined;
  };
  const findings = [...document.querySelectorAll(".findings li[data-events]")];
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
    const item = findings[finding];
    const fold = item.closest("details");
    if (fold) fold.open = true;
    mark(item);
    item.scrollIntoView({ block: "nearest" });
    const link = item.querySelector("a");
    if (link) jump(link.getAttribute("href").slice(1));
  };
  const toTurn = () => {
    const seq = data.runs[0].turn;
    if (!jump("a" + seq)) {  // what was folded belongs to the next row
      const next = data.runs[0].seqs.find((one) => one >= seq);
      if (seq >= 0 && next !== undefined) jump("a" + next);
    }
  };
  const found = document.getElementById("found");
  const filter = () => {
    const words = search.value.trim().toLowerCase();
    runs.forEach((run) => run.filter(words, object.value));
    const shown = runs[0].visible.filter(Boolean).length;
    const lines = words ? runs[0].lines.filter((item) => item.classList.contains("match")).length : 0;
    const all = runs[0].rows.length;
    found.textContent = shown === all && !words ? "" : `${shown} of ${all} rows` + (words ? `, ${lines} source lines` : "");
  };
  let size = 1;
  const zoom = (way) => {
    size = Math.max(0, Math.min(2, size + way));
    for (const run of runs) {
      for (let z = 0; z < 3; z++) run.section.classList.toggle(`z${z}`, z === size);
      run.draw();
      if (run.row) run.reveal(run.view, run.row, run.table.tHead.offsetHeight);
    }
  };
  const moves = {
    first: () => go(0), back: () => step(-1), next: () => step(1), last: () => go(seqs.length - 1), matter: toTurn,
  };
  const keys = {
    ArrowLeft: moves.back, ArrowRight: moves.next, k: moves.back, j: moves.next,
    Home: moves.first, End: moves.last, PageUp: () => go(at - 10), PageDown: () => go(at + 10),
    n: () => toSwitch(1), p: () => toSwitch(-1), f: toFinding, m: toTurn, t: turnTheme,
    "/": () => search.focus(), "+": () => zoom(1), "-": () => zoom(-1),
  };

  controls.hidden = false;
  scrub.max = String(seqs.length - 1);
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  search.addEventListener("input", filter);
  object.addEventListener("change", filter);
  controls.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go], [data-zoom]");
    if (!button) return;
    if (button.dataset.go) moves[button.dataset.go](); else zoom(Number(button.dataset.zoom));
  });
  document.addEventListener("keydown", (event) => {
    if (event.target === search) {
      if (event.key === "Escape") { search.value = ""; filter(); search.blur(); }
      if (event.key === "Enter") { search.blur(); step(1); }
      return;
    }
    if (event.target === object) return;
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

  zoom(0);
  const wanted = location.hash.slice(1);
  const middle = seqs.indexOf(data.at + 1);
  const many = seqs.length > 400 && middle >= 0;
  go(many ? middle : seqs.length - 1);
  if (wanted) jump(wanted);
  runs.forEach((run) => run.draw());
  root.dataset.ready = "yes";
})();
