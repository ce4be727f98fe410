// The page of real code: lanes, source and state beside each other, searched and filtered. It is
// readable without the script.
(() => {
  const source = document.getElementById("data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const search = document.getElementById("search");
  const object = document.getElementById("object");

  class Run extends SteppedRun {
    constructor(own) {
      super(own, "table.narrow");
      this.view = this.section.querySelector(".lanes-pane");
      this.pane = this.section.querySelector(".source");
      this.slots = [...this.section.querySelectorAll("[data-text]")];
      this.lines = [...this.section.querySelectorAll("li[data-line]")];
      this.text = this.rows.map((row) => `${row.title} ${row.textContent}`.toLowerCase());
      this.lanesOff = new Set();
      this.visible = this.rows.map(() => true);
      this.done = -1;
      this.panel = [];
      this.drawn = [];   // what each line shows now
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
        if (own.seqs.length) stepper.goAfter(own.seqs[best]);
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
      this.light();
      const here = this.section.querySelector(".overview .here");
      for (const side of ["x1", "x2"]) here.setAttribute(side, String(seq + 1));
      this.heading(over);
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
    // Nothing follows but what is folded: the table says so by the row of a gap otherwise.
    over() {
      const last = this.table.tBodies[0].lastElementChild;
      return this.done === this.data.seqs.length && !(last && last.classList.contains("gap"));
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
    said(at) {
      const { lanes, names } = this.data;
      const row = this.rows[at];
      const place = row.title.slice(row.title.lastIndexOf(", at ") + 2); // a place has no comma
      return `${names[lanes[at]] ?? ""} ${ownText(row.lastElementChild).trim()}, ${place}`;
    }
    place(seq) {
      const at = this.data.seqs.indexOf(seq);
      const row = this.rows[at];
      const cell = row && !row.hidden && this.data.lanes[at] >= 0 && row.cells[this.data.lanes[at] + 1];
      if (!cell) return null;
      return { x: cell.offsetLeft + cell.offsetWidth / 2, y: row.offsetTop + row.offsetHeight / 2 };
    }
    curve(a, b) { // over the lanes alone: there is no text in them
      const bend = (b.y - a.y) / 2;
      return `M${a.x} ${a.y + 5}C${a.x} ${a.y + bend} ${b.x} ${b.y - bend} ${b.x} ${b.y - 6}m-3 -4l3 4l3 -4`;
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

  const runs = data.runs.map((run) => new Run(run));
  const now = document.getElementById("now");
  const stepper = new Stepper(runs, {
    now: (said) => { now.textContent = now.title = said; },
    view: (run) => run.section.querySelector(".panes"),
    isSwitch: (run, seq) => run.data.switches.includes(run.data.seqs.indexOf(seq)),
  });
  const { seqs } = stepper;
  const shownAt = (to) => to === 0 || runs.some((run) => {
    const place = run.data.seqs.indexOf(seqs[to] - 1);
    return place >= 0 && run.visible[place];
  });
  const step = (way) => {
    for (let to = stepper.at + way; to >= 0 && to < seqs.length; to += way) if (shownAt(to)) return stepper.go(to);
    return undefined;
  };
  const toTurn = () => {
    const seq = data.runs[0].turn;
    if (!stepper.jump("a" + seq)) {  // what was folded belongs to the next row
      const next = data.runs[0].seqs.find((one) => one >= seq);
      if (seq >= 0 && next !== undefined) stepper.jump("a" + next);
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
  search.addEventListener("input", filter);
  object.addEventListener("change", filter);
  stepper.controls.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (button) zoom(Number(button.dataset.zoom));
  });
  // what is typed there is no key of the page
  for (const field of [search, object]) field.addEventListener("keydown", (event) => event.stopPropagation());
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { search.value = ""; filter(); search.blur(); }
    if (event.key === "Enter") { search.blur(); step(1); }
  });
  stepper.listen({ back: () => step(-1), next: () => step(1), matter: toTurn }, {
    "/": () => search.focus(), "+": () => zoom(1), "-": () => zoom(-1),
  });

  zoom(0);
  const wanted = location.hash.slice(1);
  const middle = seqs.indexOf(data.at + 1);
  const many = seqs.length > 400 && middle >= 0;
  stepper.go(many ? middle : seqs.length - 1);
  if (wanted) stepper.jump(wanted);
  stepper.ready();
})();
