// The page of a scenario's run: lanes, and the state beside them. It is readable without the script.
(() => {
  const source = document.getElementById("data");
  if (!source) return;

  class Run extends SteppedRun {
    constructor(data) {
      super(data, "table.lanes");
      this.scroll = this.section.querySelector(".scroll");
      this.slots = [...this.section.querySelectorAll("[data-state],[data-text],[data-line]")];
      this.names = [...this.table.querySelectorAll("thead th")].slice(1).map((th) => th.textContent);
      this.start = this.table.querySelector("tr.start, tr.gap");
      this.values = data.init.slice();
      this.current = null;
      this.shown = new Array(this.slots.length).fill(-1);
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
      this.light();
      this.heading(over);
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
    said(at) {
      const worker = this.data.workers[at];
      return `${this.names[worker] ?? ""} ${ownText(this.rows[at].cells[Math.max(worker, 0) + 1])}`;
    }
    place(seq) {
      const at = this.data.seqs.indexOf(seq);
      const row = this.rows[at];
      const worker = this.data.workers[at];
      const cell = row && worker >= 0 && row.cells[worker + 1];
      if (!cell) return null;
      return {
        left: cell.offsetLeft, right: cell.offsetLeft + cell.offsetWidth,
        y: row.offsetTop + row.offsetHeight / 2,
      };
    }
    curve(a, b) {
      const right = b.left > a.left;
      const reach = Math.min(80, (a.right - a.left) / 3);
      const x1 = right ? a.right - reach : a.left + 2;
      const x2 = right ? b.left + 1 : b.right - reach;
      const bend = (x2 - x1) / 2;
      return `M${x1} ${a.y}C${x1 + bend} ${a.y} ${x2 - bend} ${b.y} ${x2} ${b.y}` +
        `m${right ? -5 : 5} -3.5l${right ? 5 : -5} 3.5l${right ? -5 : 5} 3.5`;
    }
  }

  const data = JSON.parse(source.textContent);
  const total = Math.max(...data.runs.map((run) => run.total));
  const now = document.getElementById("now");
  const stepper = new Stepper(data.runs.map((run) => new Run(run)), {
    now: (said) => {
      now.textContent = `${stepper.seqs[stepper.at]} of ${total} done; ${said}`;
      stepper.controls.dataset.at = String(stepper.at);
    },
    view: (run) => run.section,
    isSwitch: (run, seq) => {
      const row = document.getElementById(run.data.key + seq);
      return row && row.querySelector("em");
    },
  });
  const { runs, seqs } = stepper;
  stepper.listen({
    back: () => stepper.go(stepper.at - 1), next: () => stepper.go(stepper.at + 1),
    matter: () => {
      const row = document.querySelector("tr.turn");
      if (row) stepper.jump(row.id);
    },
  });

  const wanted = location.hash.slice(1);
  stepper.go(seqs.length - 1, false);
  const focus = seqs.indexOf(data.at + 1);
  if (!(wanted && stepper.jump(wanted)) && seqs.length > 40 && focus >= 0) stepper.go(focus);
  else if (!wanted) runs.forEach((run) => run.current && run.reveal(run.current));
  stepper.ready();
})();
