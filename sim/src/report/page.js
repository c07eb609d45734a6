// Draws the lanes of a run, and lets them be zoomed, moved and walked through. It decides nothing:
// every word, colour and time is in the JSON above.
"use strict";
(() => {
  const run = JSON.parse(document.getElementById("run").textContent);
  const chart = document.getElementById("chart");
  const detail = document.getElementById("detail");
  const LEFT = 190, RIGHT = 14, ROW = 26, BAR = 21, SIGNS = 12, GROUP = 30, FLAG = 24, FLAGS_MAX = 3, MIN_SPAN = 0.002;
  const LETTER = 7.1; // The width of a letter, near enough.

  // The part of the run that is seen, in seconds, and the span that was walked to.
  let from = 0, to = run.end, width = 1000, top = 0, chosen = null;

  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  const at = (px) => from + ((px - LEFT) / (width - LEFT - RIGHT)) * (to - from);
  const seconds = (t) => (Math.round(t * 1e6) / 1e6).toFixed(3) + " s";
  const within = (t) => t >= from && t <= to;

  function add(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function look(newFrom, newTo) {
    const span = Math.min(Math.max(newTo - newFrom, Math.min(MIN_SPAN, run.end)), run.end);
    from = Math.min(Math.max(newFrom, 0), run.end - span);
    to = from + span;
    draw();
  }

  function zoom(factor, around) {
    look(around - (around - from) * factor, around + (to - around) * factor);
  }

  function move(part) {
    const step = (to - from) * part;
    look(from + step, to + step);
  }

  function show(lane, span) {
    const long = span.to - span.from;
    const lasts = long < 1 ? Math.round(long * 1e3) + " ms" : long.toFixed(2) + " s";
    detail.textContent = `${seconds(span.from)} to ${seconds(span.to)} (${lasts}), ${lane.name}: ${span.label}. ${span.detail}`;
  }

  function draw() {
    width = Math.max(chart.clientWidth, 480);
    const old = chart.querySelector("svg");
    const flags = raise(run.marks.map((mark, i) => ({ ...mark, number: i + 1 })).filter((mark) => within(mark.at)));
    const height = layout(flags);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
    patterns(svg);
    axis(svg, height);
    gaps(svg, height);
    lines(svg, flags.filter((mark) => !mark.fault), height);
    let group = null;
    run.lanes.forEach((lane, i) => {
      if (lane.group !== group) add(svg, "text", { x: 12, y: lane.y - 9, class: "group" }, lane.group);
      group = lane.group;
      drawLane(svg, lane, i);
    });
    lines(svg, flags.filter((mark) => mark.fault), height);
    marks(svg, flags);
    add(svg, "line", { class: "cursor", y1: top, y2: height - 8, visibility: "hidden" });
    if (old) old.replaceWith(svg); else chart.append(svg);
    chart.dataset.from = from.toFixed(6);
    chart.dataset.to = to.toFixed(6);
  }

  // Gives every flag a row in which its words have room, or none but for its number.
  function raise(flags) {
    const ends = [], last = [];
    for (const flag of flags) {
      const left = x(flag.at) - 12, words = 28 + flag.label.length * LETTER;
      const free = (long) => {
        const row = [...ends, -1].findIndex((end) => end < left);
        return row < FLAGS_MAX && left + long < width ? row : -1;
      };
      const row = free(words);
      flag.spoken = row >= 0;
      flag.row = flag.spoken ? row : free(0);
      if (flag.row < 0) {
        // There is no room at all: its number takes that of the words before.
        flag.row = 0;
        last[0].spoken = false;
      }
      last[flag.row] = flag;
      ends[flag.row] = Math.max(ends[flag.row] || 0, left + (flag.spoken ? words : 24));
    }
    return flags;
  }

  // Gives every lane its place, below the flags and the times. Returns the height of all.
  function layout(flags) {
    top = 10 + FLAG * Math.max(1, ...flags.map((flag) => flag.row + 1));
    let y = top + 14, group = null;
    for (const lane of run.lanes) {
      if (lane.group !== group) y += GROUP;
      group = lane.group;
      lane.y = y;
      y += ROW + (lane.ticks.length ? SIGNS : 0);
    }
    return y + 12;
  }

  function patterns(svg) {
    const defs = add(svg, "defs", {});
    for (const [id, color] of [["busy", "var(--dim)"], ["paused", "var(--dim)"]]) {
      const size = id === "busy" ? 5 : 9;
      const pattern = add(defs, "pattern", { id, width: size, height: size, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
      add(pattern, "rect", { width: size, height: size, fill: "var(--paper)" });
      add(pattern, "rect", { width: size / 2.5, height: size, fill: color, opacity: 0.4 });
    }
    const clip = add(defs, "clipPath", { id: "time" });
    add(clip, "rect", { x: LEFT - 1, y: 0, width: width - LEFT - RIGHT + 2, height: 1e5 });
  }

  // A line for every round number of seconds, far enough from the next.
  function axis(svg, height) {
    const room = ((to - from) / (width - LEFT - RIGHT)) * 90;
    const scale = 10 ** Math.floor(Math.log10(room));
    const step = [1, 2, 5, 10].map((n) => n * scale).find((n) => n >= room);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let i = Math.ceil(from / step); i * step <= to + 1e-9; i++) {
      add(svg, "line", { class: "grid", x1: x(i * step), x2: x(i * step), y1: top, y2: height - 6 });
      if (x(i * step) + 34 < width) add(svg, "text", { class: "axis", x: x(i * step) + 4, y: top + 11 }, (i * step).toFixed(digits) + " s");
    }
  }

  // Shades the times in which somebody who asks is told nothing.
  function gaps(svg, height) {
    const clipped = add(svg, "g", { "clip-path": "url(#time)" });
    for (const lane of run.lanes.slice(0, 12)) {
      for (const span of lane.spans.filter((span) => span.label === "nobody answers")) {
        add(clipped, "rect", { class: "gap", x: x(span.from), y: top, width: Math.max(x(span.to) - x(span.from), 1), height: height - top - 6 });
      }
    }
  }

  function drawLane(svg, lane, i) {
    const g = add(svg, "g", { class: "lane", "data-lane": lane.name });
    add(g, "text", { class: "name", x: 22, y: lane.y + 15 }, lane.name);
    const clipped = add(g, "g", { "clip-path": "url(#time)" });
    const ticks = lane.ticks.filter((tick) => within(tick.at));
    lane.spans.forEach((span, j) => {
      if (span.to < from || span.from > to) return;
      const left = Math.max(x(span.from), LEFT - 2), right = Math.min(x(span.to), width - RIGHT + 2);
      const wide = Math.max(right - left - 1, 2);
      const isChosen = chosen && chosen.lane === i && chosen.span === j;
      const box = add(clipped, "g", { class: "span " + span.look + (isChosen ? " chosen" : "") });
      if (span.tint !== null) box.style.setProperty("--tint", `var(--node${span.tint})`);
      add(box, "rect", { x: left, y: lane.y, width: wide, height: BAR, rx: wide > 8 ? 3 : 0 });
      const lasts = (span.to - span.from).toFixed(2) + " s";
      const texts = span.look === "bad" ? [`${span.label} for ${lasts}`, span.label, lasts] : [span.label];
      const text = texts
        .find((text) => text.length * LETTER + 14 < wide);
      if (text) add(box, "text", { x: left + 7, y: lane.y + 15 }, text);
      box.addEventListener("pointerenter", () => show(lane, span));
      box.addEventListener("click", () => choose(i, j));
    });
    // Signs that would cover each other are drawn once.
    const last = {};
    for (const tick of ticks) {
      const px = x(tick.at), before = last[tick.look];
      if (before !== undefined && px - before < 3) continue;
      last[tick.look] = px;
      sign(clipped, lane, tick, px);
    }
  }

  function sign(parent, lane, tick, px) {
    const low = lane.y + BAR + 2;
    const shapes = {
      announced: `M${px} ${low - 1}l6 6l-6 6l-6 -6z`,
      answered: `M${px} ${low}l6 10h-12z`,
      asked: `M${px} ${low}l6 10h-12z`,
      written: `M${px} ${low}v8`,
    };
    const path = add(parent, "path", { class: "sign " + tick.look, d: shapes[tick.look] });
    path.addEventListener("pointerenter", () => {
      detail.textContent = `${seconds(tick.at)}, ${lane.name}: ${tick.detail}`;
    });
  }

  const pole = (mark) => 20 + FLAG * mark.row;

  // From each flag down through all lanes; only a fault is drawn across what is there.
  function lines(svg, flags, height) {
    for (const mark of flags) {
      const px = x(mark.at);
      add(svg, "line", { class: mark.fault ? "pole fault" : "pole", x1: px, x2: px, y1: pole(mark), y2: height - 6 });
    }
  }

  // What was done, each with the number of its chapter, and in words where there is room.
  function marks(svg, flags) {
    for (const mark of flags) {
      const px = x(mark.at), y = pole(mark);
      const g = add(svg, "g", { class: mark.fault ? "mark fault" : "mark" });
      add(g, "circle", { cx: px, cy: y, r: 10 });
      add(g, "text", { class: "number", x: px, y: y + 4.5 }, mark.number);
      if (mark.spoken) add(g, "text", { class: "what", x: px + 15, y: y + 4.5 }, mark.label);
      add(g, "title", {}, mark.label);
      g.addEventListener("pointerenter", () => { detail.textContent = `${seconds(mark.at)}: ${mark.label}.`; });
    }
  }

  function choose(lane, span) {
    const spans = run.lanes[lane].spans;
    if (!spans.length) return;
    chosen = { lane, span: Math.min(Math.max(span, 0), spans.length - 1) };
    const { from: begin, to: end } = spans[chosen.span];
    show(run.lanes[lane], spans[chosen.span]);
    const size = to - from;
    if (begin > to || end < from) look(begin - size / 4, begin + size * 0.75); else draw();
  }

  // Walks along a lane, or to the span of another lane that is there at the same time.
  function walk(alongLane, acrossLanes) {
    if (!chosen) return choose(0, run.lanes[0].spans.findIndex((span) => span.to > from));
    if (alongLane) return choose(chosen.lane, chosen.span + alongLane);
    const here = run.lanes[chosen.lane].spans[chosen.span];
    const middle = (Math.max(here.from, from) + Math.min(here.to, to)) / 2;
    for (let lane = chosen.lane + acrossLanes; run.lanes[lane]; lane += acrossLanes) {
      if (!run.lanes[lane].spans.length) continue;
      const span = run.lanes[lane].spans.findIndex((span) => span.to >= middle);
      return choose(lane, span < 0 ? Infinity : span);
    }
  }

  function nextFault() {
    const stories = [...document.querySelectorAll("ol.story li")];
    const middle = (from + to) / 2;
    const faults = run.marks.map((mark, i) => ({ at: mark.at, story: stories[i], fault: mark.fault })).filter((mark) => mark.fault);
    const next = faults.find((mark) => mark.at > middle || to - from >= run.end) || faults[0];
    if (next) look(Number(next.story.dataset.from), Number(next.story.dataset.to));
  }

  const middle = () => (from + to) / 2;
  const deeds = {
    in: () => zoom(0.6, middle()),
    out: () => zoom(1 / 0.6, middle()),
    back: () => move(-0.25),
    forth: () => move(0.25),
    all: () => look(0, run.end),
    fault: nextFault,
  };
  const keys = {
    "+": deeds.in, "=": deeds.in, "-": deeds.out, "0": deeds.all, "f": deeds.fault, "F": deeds.fault,
    "ArrowLeft": (event) => (event.shiftKey ? deeds.back() : walk(-1, 0)),
    "ArrowRight": (event) => (event.shiftKey ? deeds.forth() : walk(1, 0)),
    "ArrowUp": () => walk(0, -1),
    "ArrowDown": () => walk(0, 1),
  };

  chart.addEventListener("keydown", (event) => {
    const key = keys[event.key];
    if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    key(event);
  });
  document.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", deeds[button.dataset.do]));
  document.querySelectorAll("ol.story li").forEach((story) => story.querySelector("button").addEventListener("click", () => {
    look(Number(story.dataset.from), Number(story.dataset.to));
  }));

  const px = (event) => ((event.clientX - chart.getBoundingClientRect().left) / chart.clientWidth) * width;
  chart.addEventListener("wheel", (event) => {
    const whole = to - from >= run.end;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      move((event.deltaX || event.deltaY) / 800);
    } else if (event.deltaY < 0 || !whole) {
      zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 300))), at(px(event)));
    } else {
      return; // There is nothing to zoom out of: the page scrolls.
    }
    event.preventDefault();
  }, { passive: false });

  let drag = null;
  chart.addEventListener("pointerdown", (event) => { drag = { px: px(event), from, to }; });
  window.addEventListener("pointerup", () => { drag = null; });
  chart.addEventListener("pointermove", (event) => {
    const cursor = chart.querySelector(".cursor");
    if (drag && Math.abs(px(event) - drag.px) > 3) {
      const shift = ((drag.px - px(event)) / (width - LEFT - RIGHT)) * (drag.to - drag.from);
      look(drag.from + shift, drag.to + shift);
    } else if (px(event) >= LEFT) {
      cursor.setAttribute("x1", px(event));
      cursor.setAttribute("x2", px(event));
      cursor.setAttribute("visibility", "visible");
    }
  });

  new ResizeObserver(draw).observe(chart);
  // A link may show a part of the run: page.html#8.2-14
  const part = location.hash.match(/^#([\d.]+)-([\d.]+)$/);
  if (part) look(Number(part[1]), Number(part[2])); else look(0, run.end);
})();
