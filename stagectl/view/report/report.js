// Draws each figure's data, and lets people walk, zoom and choose in it by pointer and by keyboard.
"use strict";
(() => {
  const ROW = 22, GAP = 7, PANEL = 210, SMALL = 96, TITLE = 24, AXIS = 34, MOST = 12;

  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const steps = (value) => whole.format(Math.round(value));
  const score = (value) => {
    const size = Math.abs(value);
    return value.toFixed(size < 10 ? (size && size < 0.01 ? 4 : 2) : size < 1000 ? 1 : 0);
  };
  const short = (value) => {
    for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(value) >= unit) return `${+(value / unit).toFixed(2)}${letter}`;
    return `${+value.toFixed(2)}`;
  };

  function node(name, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function html(name, class_, ...children) {
    const made = document.createElement(name);
    if (class_) made.className = class_;
    made.append(...children);
    return made;
  }

  // Round values between two ends, at most so many.
  function ticks(low, high, most) {
    const rough = (high - low) / Math.max(1, most) || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const stride = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
    const found = [];
    for (let at = Math.ceil(low / stride - 1e-9); at * stride <= high + stride * 1e-9; at++) found.push(at * stride);
    return found;
  }

  // The place of the last x that is not beyond `at`; -1 before the first.
  function placeOf(x, at) {
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] <= at) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  function chart(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const place = figure.querySelector(".drawing"), tip = figure.querySelector(".tip");
    const rows = data.panels.flatMap((panel) => panel.rows ?? []);
    const curved = [...new Set(data.panels.flatMap((panel) => (panel.lines ?? []).map((line) => line.row)))];
    const alone = curved.length === 1 ? rows.find((row) => row.name === curved[0]) : undefined;
    const all = [0, Math.max(1, data.end)];
    let view = all, cursor = null, chosen = null, dragged = null, size = null;

    const clamped = (value, low, high) => Math.min(high, Math.max(low, value));
    const xOf = (step) => size.left + ((step - view[0]) / (view[1] - view[0])) * (size.right - size.left);
    const stepAt = (pixel) =>
      clamped(view[0] + ((pixel - size.left) / (size.right - size.left)) * (view[1] - view[0]), view[0], view[1]);
    const of = (name, class_) => `${class_} of${chosen === name ? " on" : ""}`;

    function draw() {
      const width = Math.max(300, place.clientWidth);
      const longest = Math.max(5, ...rows.map((row) => row.name.length));
      size = { left: Math.min(Math.max(44, longest * 7 + 14), width * 0.3), right: width - 14 };
      const clip = `clip-${[...document.querySelectorAll(".chart")].indexOf(figure)}`;
      const body = node("g", { "clip-path": `url(#${clip})` }), back = node("g"), front = node("g");
      let y = 4;
      for (const panel of data.panels) {
        if (panel.title) back.append(node("text", { class: "title", x: size.left, y: y + 14 }, panel.title));
        y += panel.title ? TITLE : 6;
        y = panel.rows ? drawRows(panel, y, back, body) : drawLines(panel, y, back, body);
        y += 12;
      }
      drawAxis(y, width, back);
      const height = y + AXIS;
      front.append(node("rect", { class: "range", y: 0, height, width: 0 }));
      front.append(node("line", { class: "cursor", y1: 0, y2: y, visibility: "hidden" }));
      const box = node("rect", { x: size.left, y: 0, width: Math.max(0, size.right - size.left), height });
      place.replaceChildren(node(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: `${curved.length > 1 ? "many" : ""} ${chosen === null ? "" : "chosen"}` },
        node("defs", {}, node("clipPath", { id: clip }, box)), back, body, front,
      ));
      showCursor();
    }

    function drawAxis(y, width, back) {
      back.append(node("line", { class: "axis", x1: size.left, x2: size.right, y1: y, y2: y }));
      for (const step of ticks(...view, (size.right - size.left) / 90)) {
        back.append(node("line", { class: "axis", x1: xOf(step), x2: xOf(step), y1: y, y2: y + 5 }));
        back.append(node("text", { class: "step", x: xOf(step), y: y + 18, "text-anchor": "middle" }, short(step)));
      }
      back.append(node("text", { x: size.right, y: y + 32, "text-anchor": "end" }, "environment steps"));
    }

    function drawRows(panel, y, back, body) {
      const height = panel.rows.length > 14 ? 12 : ROW, gap = panel.rows.length > 14 ? 3 : GAP;
      for (const row of panel.rows) {
        back.append(node("text", { class: `${of(row.name, "name")}`, x: size.left - 10, y: y + height / 2 + 4, "text-anchor": "end" }, cut(row.name, size.left - 14)));
        for (const [colour, name, start, end, told, open] of row.bars) {
          const from = xOf(start), to = Math.max(from + 1.5, xOf(end)), tip = open ? Math.min(7, (to - from) / 2) : 0;
          const outline = `M${from + 0.5} ${y}H${to - tip - 0.5}L${to - 0.5} ${y + height / 2}L${to - tip - 0.5} ${y + height}H${from + 0.5}Z`;
          body.append(node("path", { class: of(row.name, `visit s${colour}`), d: outline }, node("title", {}, told)));
          const left = Math.max(from, size.left), room = Math.min(to, size.right) - left - 12 - tip;
          if (height > 12 && room > name.length * 6.8)
            body.append(node("text", { class: "inside", x: left + 7, y: y + height / 2 + 4 }, name));
        }
        for (const [colour, at, low, high, told] of row.whiskers) drawWhisker(colour, at, low, high, told, y, height, body);
        for (const [at, told] of row.ticks)
          body.append(node("path", { class: "tick", d: `M${xOf(at)} ${y + height - 9}l5 9h-10z` }, node("title", {}, told)));
        y += height + gap;
      }
      return y;
    }

    function drawWhisker(colour, at, low, high, told, y, height, body) {
      const middle = y + height / 2, ends = [low ?? all[0], high ?? all[1]].map(xOf);
      const bars = [low, high].map((end, k) => (end === null ? "" : `M${ends[k]} ${middle - 5}v10`)).join("");
      body.append(node("g", { class: `s${colour}` },
        node("path", { class: "whisker", d: `M${ends[0]} ${middle}H${ends[1]}${bars}`, "stroke-dasharray": low === null || high === null ? "4 3" : "none" }),
        node("circle", { class: "visit", cx: xOf(at), cy: middle, r: 5 }), node("title", {}, told)));
    }

    function drawLines(panel, y, back, body) {
      const height = panel.small ? SMALL : PANEL, spread = panel.high - panel.low || 1;
      const yOf = (value) => y + height - ((value - panel.low) / spread) * height;
      for (const value of ticks(panel.low, panel.high, panel.small ? 3 : 5)) {
        back.append(node("line", { class: "rule", x1: size.left, x2: size.right, y1: yOf(value), y2: yOf(value) }));
        back.append(node("text", { x: size.left - 10, y: yOf(value) + 4, "text-anchor": "end" }, short(value)));
      }
      if (alone !== undefined)
        for (const [colour, , start, end] of alone.bars)
          body.append(node("rect", { class: `band s${colour}`, x: xOf(start), width: Math.max(0, xOf(end) - xOf(start)), y, height }));
      for (const line of panel.lines) {
        if (line.goal.length) body.append(node("path", { class: of(line.row, `goal s${line.colour}`), d: path(line.x, line.goal, yOf) }));
      }
      for (const line of panel.lines) {
        const kind = of(line.row, `curve s${line.colour}${line.faint ? " faint" : ""}`);
        body.append(node("path", { class: kind, d: path(line.x, line.y, yOf) }));
        if (line.x.length === 1) body.append(node("circle", { class: of(line.row, `visit s${line.colour}`), cx: xOf(line.x[0]), cy: yOf(line.y[0]), r: 3 }));
      }
      return y + height;
    }

    function path(x, values, yOf) {
      let drawn = "", pen = "M";
      values.forEach((value, at) => {
        if (value === null) { pen = "M"; return; }
        drawn += `${pen}${xOf(x[at]).toFixed(1)} ${yOf(value).toFixed(1)}`;
        pen = "L";
      });
      return drawn;
    }

    const cut = (name, room) => (name.length * 6.8 <= room ? name : `${name.slice(0, Math.max(3, Math.floor(room / 6.8) - 1))}…`);

    // What is known at the cursor: each curve's value of its goal, and the stage of a row that no curve tells.
    function told(step) {
      const values = [], stages = [], telling = new Set(), several = data.panels.filter((panel) => panel.lines).length > 1;
      for (const panel of data.panels) {
        const before = values.length;
        for (const line of panel.lines ?? []) {
          const at = placeOf(line.x, step), last = line.x.length - 1;
          if (at < 0 || (at === last && step > line.x[last]) || (chosen !== null && line.row !== chosen)) continue;
          const goal = line.goal[at] ?? null;
          values.push([line.colour, line.name, score(line.y[at]) + (goal === null ? "" : ` of ${score(goal)}`)]);
          telling.add(line.row);
        }
        if (several && values.length > before) values.splice(before, 0, [null, panel.title, ""]);
      }
      for (const row of rows) {
        const bar = row.bars.find(([, , start, end]) => start <= step && step <= end);
        if (bar && !telling.has(row.name) && (chosen === null || chosen === row.name))
          stages.push([bar[0], rows.length > 1 ? `${row.name}: ${bar[1]}` : bar[1], ""]);
      }
      return [...values, ...stages];
    }

    function showCursor() {
      const line = place.querySelector(".cursor");
      tip.hidden = cursor === null;
      line.setAttribute("visibility", cursor === null ? "hidden" : "visible");
      if (cursor === null) return;
      const x = xOf(cursor);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      const found = told(cursor), shown = found.slice(0, MOST).map(([colour, name, value]) =>
        colour === null ? html("p", "", name) : html("div", "", html("span", `stage s${colour}`, name), html("b", "", value)));
      if (found.length > MOST) shown.push(html("div", "quiet", `and ${found.length - MOST} more; ↑ ↓ choose one`));
      tip.replaceChildren(html("div", "", html("b", "", `step ${steps(cursor)}`)), ...shown);
      const scale = place.clientWidth / place.querySelector("svg").viewBox.baseVal.width;
      const right = x * scale + 16 + tip.offsetWidth > place.clientWidth;
      tip.style.left = `${Math.max(0, right ? x * scale - 16 - tip.offsetWidth : x * scale + 16)}px`;
      tip.style.top = `${place.offsetTop + 30}px`;
    }

    function show(from, to) {
      const span = clamped(to - from, Math.min(10, all[1]), all[1]);
      const start = clamped(from, 0, all[1] - span);
      view = [start, start + span];
      if (cursor !== null) cursor = clamped(cursor, ...view);
      draw();
    }

    function zoom(factor) {
      const centre = cursor ?? (view[0] + view[1]) / 2;
      show(centre - (centre - view[0]) * factor, centre + (view[1] - centre) * factor);
    }

    function walk(strides) {
      cursor = clamped((cursor ?? view[0]) + ((view[1] - view[0]) / 100) * strides, ...all);
      const span = view[1] - view[0];
      if (cursor < view[0]) show(cursor, cursor + span);
      else if (cursor > view[1]) show(cursor - span, cursor);
      else showCursor();
    }

    function choose(stride) {
      const names = [null, ...new Set(rows.filter((row) => row.bars.length).map((row) => row.name))];
      chosen = names[(names.indexOf(chosen) + stride + names.length) % names.length];
      draw();
    }

    const actions = {
      ArrowLeft: (event) => walk(event.shiftKey ? -10 : -1), ArrowRight: (event) => walk(event.shiftKey ? 10 : 1),
      Home: () => walk(-1e9), End: () => walk(1e9), ArrowUp: () => choose(-1), ArrowDown: () => choose(1),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": () => show(...all),
      Escape: () => { cursor = chosen = null; draw(); },
    };
    place.addEventListener("keydown", (event) => {
      const action = event.ctrlKey || event.metaKey || event.altKey ? null : actions[event.key];
      if (action) { event.preventDefault(); action(event); }
    });
    for (const button of figure.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => ({ in: () => zoom(0.5), out: () => zoom(2), all: () => show(...all) })[button.dataset.zoom]());

    const pixel = (event) => {
      const box = place.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * place.querySelector("svg").viewBox.baseVal.width;
    };
    place.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      dragged = pixel(event);
      place.setPointerCapture(event.pointerId);
    });
    place.addEventListener("pointermove", (event) => {
      cursor = stepAt(pixel(event));
      showCursor();
      if (dragged === null) return;
      const range = place.querySelector(".range"), ends = [dragged, pixel(event)].sort((a, b) => a - b);
      range.setAttribute("x", ends[0]);
      range.setAttribute("width", ends[1] - ends[0]);
    });
    place.addEventListener("pointerup", (event) => {
      const from = dragged, to = pixel(event);
      dragged = null;
      if (from !== null && Math.abs(to - from) > 6) show(...[stepAt(from), stepAt(to)].sort((a, b) => a - b));
    });
    for (const lost of ["pointercancel", "pointerleave"])
      place.addEventListener(lost, () => { dragged = cursor = null; draw(); });
    place.addEventListener("blur", () => { cursor = null; showCursor(); });
    place.addEventListener("dblclick", () => show(...all));
    new ResizeObserver(draw).observe(place);
    draw();
  }

  // A heat map's cells are walked with the arrow keys; the line below it tells the one that is looked at.
  function heat(table) {
    const readout = table.closest(".sweep").querySelector(".readout");
    const tell = (cell) => {
      if (cell?.tagName !== "TD") return;
      const { down, across } = table.dataset, row = cell.parentElement;
      const values = [row.cells[0], table.tHead.rows[0].cells[cell.cellIndex], cell].map((each) => each.textContent);
      readout.textContent = `${down} ${values[0]}, ${across} ${values[1]}: ${cell.matches(".never") ? "never" : values[2]}`;
    };
    table.tBodies[0].rows[0].cells[1].tabIndex = 0;
    table.addEventListener("pointerover", (event) => tell(event.target));
    table.addEventListener("focusin", (event) => tell(event.target));
    table.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td");
      const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
      const next = cell && down !== undefined && table.tBodies[0].rows[cell.parentElement.sectionRowIndex + down]?.cells[cell.cellIndex + right];
      if (next?.tagName !== "TD") return;
      event.preventDefault();
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  function theme(button) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const show = (on) => { button.setAttribute("aria-pressed", on); button.textContent = on ? "light" : "dark"; };
    show(dark.matches);
    dark.addEventListener("change", () => { if (!document.documentElement.dataset.theme) show(dark.matches); });
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      document.documentElement.dataset.theme = on ? "dark" : "light";
      show(on);
    });
  }

  document.querySelectorAll(".chart").forEach(chart);
  document.querySelectorAll("table.heat").forEach(heat);
  document.querySelectorAll("button.theme").forEach(theme);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
})();
