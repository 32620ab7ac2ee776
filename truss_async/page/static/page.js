// Keys, charts and times of the pages. Everything that they show and do is there without this, too.
(() => {
  "use strict";
  const one = (what, within = document) => within.querySelector(what);
  const all = (what, within = document) => [...within.querySelectorAll(what)];

  // Keys. The row that is meant is the one that has the focus.
  const typing = (target) => target.closest("input, select, textarea, dialog");
  const step = (by) => {
    const links = all("a.row-link");
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by];
    if (next) next.focus();
  };
  const press = (key) => {
    const row = document.activeElement.closest("tr");
    const button = (row && one(`[data-key="${key}"]`, row)) || one(`[data-key="${key}"]:not(table *)`);
    if (button) button.click();
  };
  const keys = {
    "/": () => {
      const field = one('[data-key="/"]');
      if (field) field.focus();
      else location.href = "/_harness/page/requests";
    },
    j: () => step(1),
    k: () => step(-1),
    c: () => press("c"),
    r: () => press("r"),
    "?": () => one("#keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  // Nobody's hand is pushed away: while a button or a piece of text is held, the page stays as it is, and catches up after.
  const live = () => one("#live");
  const held = () => one("#live button:active") || (!getSelection().isCollapsed && live().contains(getSelection().anchorNode));
  const renew = () => htmx.trigger(live(), "changed");
  let behind = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    behind = Boolean(held());
    if (behind) event.detail.shouldSwap = false;
  });
  const catchUp = () => {
    if (!behind || held()) return;
    behind = false;
    renew();
  };
  for (const name of ["selectionchange", "pointerup", "keyup"]) document.addEventListener(name, () => setTimeout(catchUp));

  // A log that is followed shows its end.
  const follow = () => {
    for (const log of all("[data-follows]")) log.scrollTop = log.scrollHeight;
  };
  document.addEventListener("htmx:afterSwap", follow);
  follow();

  // What was opened stays open.
  let opened = [];
  document.addEventListener("htmx:beforeSwap", () => {
    opened = all("#live details[open][id]").map((each) => each.id);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  });

  // Copying.
  const offer = () => {
    for (const button of all("button[data-copies]")) button.hidden = !navigator.clipboard;
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copies]");
    if (!button) return;
    navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent).then(() => {
      button.textContent = "Copied";
    });
  });
  offer();

  // Times go on, unless the clock of the harness stands.
  const ahead = Date.parse(document.body.dataset.now) - Date.now();
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const age = (at) => {
    const passed = (Date.now() + ahead - at) / 1000;
    if (passed < 1) return null;
    const [size, unit] = units.find(([size]) => passed >= size);
    return `${Math.floor(passed / size)} ${unit} ago`;
  };
  if (!document.body.dataset.clock) {
    setInterval(() => {
      for (const time of all("time")) {
        const text = age(Date.parse(time.dateTime));
        if (text && time.textContent !== text) time.textContent = text;
      }
    }, 5000);
  }

  // One stream tells what is new, while somebody can see the page.
  const hears = { open: [], second: [] };
  const tellAll = (what, data) => hears[what].forEach((hear) => hear(data));
  let stream = null;
  const listen = () => {
    if (document.hidden || stream) return;
    stream = new EventSource(document.body.dataset.stream);
    stream.addEventListener("open", () => tellAll("open"));
    stream.addEventListener("changed", renew);
    stream.addEventListener("second", (event) => tellAll("second", JSON.parse(event.data)));
    stream.addEventListener("error", () => {
      if (stream?.readyState !== EventSource.CLOSED) return; // it comes back by itself
      stream = null;
      setTimeout(listen, 5000);
    });
  };
  const leave = () => {
    stream?.close();
    stream = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);

  setTimeout(listen);

  // Charts.
  const charts = one("#charts");
  if (!charts || typeof uPlot === "undefined") return;
  charts.hidden = false;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const rem = parseFloat(style.fontSize);
  const wide = charts.dataset.span === "24h";
  const spanSeconds = wide ? 86400 : 900;
  const most = wide ? 5760 : 900;
  const shortened = (value, unit) => {
    if (value == null) return "–";
    if (unit !== "s") return `${+value.toPrecision(3)}${unit}`;
    return value < 1 ? `${+(value * 1000).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`;
  };
  const lone = (plot, which, all) => { // points that no line goes through
    const column = plot.data[which];
    return all ? null : column.flatMap((value, i) => (value != null && column[i - 1] == null && column[i + 1] == null ? [i] : []));
  };
  const clock = (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, ticks[1] - ticks[0] < 60 ? 8 : 5));
  const draw = (figure) => {
    const unit = figure.dataset.unit;
    const columns = figure.dataset.columns.split(" ");
    const data = [[], ...columns.map(() => [])];
    const lines = [colour("--busy"), columns[1] === "failed" ? colour("--bad") : colour("--warn")];
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `${Math.round(0.7 * rem)}px system-ui` };
    const box = one(".plot", figure);
    const plot = new uPlot({
      width: box.clientWidth,
      height: 150,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: () => [Math.max(Date.now() / 1000 - spanSeconds, Math.min(data[0][0] ?? Infinity, Date.now() / 1000 - spanSeconds / 15)), Date.now() / 1000] }, // grows to the whole span
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [{ ...axis, space: 70, size: Math.round(1.9 * rem), values: clock }, { ...axis, size: Math.round(3.6 * rem), values: (_, ticks) => ticks.map((tick) => shortened(tick, unit)) }],
      series: [{}, ...columns.map((name, i) => ({ label: name, stroke: lines[i], width: 1.5, dash: i ? [5, 3] : undefined, spanGaps: false, points: { size: 4, fill: lines[i], filter: lone } }))],
    }, data, box);
    const tell = () => {
      const last = data.slice(1).map((column, i) => `${columns.length > 1 ? columns[i].replace(/^.*_/, "") + " " : ""}${shortened(column[column.length - 1], unit)}`);
      one(".latest", figure).textContent = data[0].length ? last.join(", ") : "";
    };
    return {
      resize: () => plot.setSize({ width: box.clientWidth, height: 150 }),
      add: (points) => {
        data[0].push(...points.map((point) => point.at));
        columns.forEach((name, i) => data[i + 1].push(...points.map((point) => point[name])));
        const over = data[0].length - most;
        if (over > 0) data.forEach((column) => column.splice(0, over));
        plot.setData(data);
        tell();
      },
    };
  };
  const drawn = all("figure", charts).map(draw);
  addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
  let names = [];
  let last = 0;
  const add = (rows) => {
    const later = rows.filter((row) => row[0] > last);
    if (!later.length) return;
    last = later[later.length - 1][0];
    const points = later.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
    drawn.forEach((chart) => chart.add(points));
  };
  // What was missed is asked for, from the last point on; what comes meanwhile is shown after it.
  let shown = Promise.resolve();
  const pull = () => {
    shown = shown.then(() => fetch(`/_harness/page/history?span=${charts.dataset.span}&after=${last}`)).then((answer) => answer.json()).then(({ columns, rows }) => {
      names = columns;
      add(rows);
    }).catch(() => {}); // the next time the stream opens
  };
  let count = 0;
  hears.open.push(pull);
  hears.second.push((row) => {
    if (!wide) shown = shown.then(() => add([row]));
    else if (++count % 15 === 0) pull();
  });
})();
