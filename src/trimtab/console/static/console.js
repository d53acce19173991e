// What pages do beyond links and forms: renew themselves, draw charts with a cursor, copy ids. All of it is extra.
"use strict";
(() => {
  const RENEW_MS = 2000;
  const find = (what, within = document) => [...within.querySelectorAll(what)];
  const bar = document.querySelector(".livebar");
  const note = document.getElementById("live-note");
  const pause = document.getElementById("pause");
  let paused = false;
  let asking = false;
  let failing = false;

  // --- Renewing ---

  function say(text, off, bad) {
    if (!note || note.textContent === text) return;
    note.textContent = text;
    bar.classList.toggle("is-off", off);
    bar.classList.toggle("is-bad", bad);
  }

  function told() {
    const live = document.getElementById("live");
    const renews = live !== null && live.hasAttribute("data-state");
    if (bar) bar.hidden = !renews;
    if (paused) say("Paused", true, false);
    else if (failing) say("No answer; trying again", false, true);
    else say("Live", false, false);
    return renews;
  }

  function busy(live) {
    const chosen = document.getSelection();
    const selecting = chosen && !chosen.isCollapsed && live.contains(chosen.anchorNode);
    return selecting || live.querySelector(".plot:hover") !== null;
  }

  function renew() {
    const live = document.getElementById("live");
    if (!told() || paused || asking || document.hidden || busy(live)) return;
    htmx.trigger(live, "renew");
  }

  if (pause) {
    pause.addEventListener("click", () => {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Go on" : "Pause";
      told();
      renew();
    });
    setInterval(renew, RENEW_MS);
    document.addEventListener("visibilitychange", renew);
  }

  document.addEventListener("htmx:configRequest", (event) => {
    const { elt, headers, parameters } = event.detail;
    if (elt.id === "live") {
      headers["X-State"] = elt.getAttribute("data-state");
    } else {
      for (const [name, value] of Object.entries(parameters)) if (value === "") delete parameters[name];
    }
  });
  document.addEventListener("htmx:beforeRequest", () => { asking = true; });
  document.addEventListener("htmx:afterRequest", (event) => {
    asking = false;
    const status = event.detail.xhr ? event.detail.xhr.status : 0;
    failing = status === 0 || status >= 500;
    told();
  });

  // What the reader has opened or scrolled stays so when the part is renewed.
  let kept = { open: [], scrolled: [] };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    kept = {
      open: find("details[open][id]", part).map((one) => one.id),
      scrolled: find(".scroll", part).map((one) => one.scrollLeft),
    };
    find(".plot", part).forEach(undraw);
  });
  document.addEventListener("htmx:afterSettle", () => {
    kept.open.forEach((id) => { const one = document.getElementById(id); if (one) one.open = true; });
    find("#live .scroll").forEach((one, place) => { one.scrollLeft = kept.scrolled[place] || 0; });
  });
  document.addEventListener("htmx:afterSwap", () => { dress(); told(); });

  // --- Charts ---

  const drawn = new Map();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function short(value) {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
      if (value >= size) return Number((value / size).toPrecision(3)) + unit;
    }
    return String(Math.round(value * 1000) / 1000);
  }
  // As `about_dollars` writes them: four digits that say something, or to the cent where that is finer.
  function dollars(value) {
    const places = Number.isInteger(value) ? 0 : Math.min(9, Math.max(2, 3 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toLocaleString("en-US", {
      style: "currency", currency: "USD", minimumFractionDigits: Math.min(places, 2), maximumFractionDigits: places,
    });
  }
  function took(ms) {
    if (ms < 1000) return Number(ms.toPrecision(3)) + " ms";
    if (ms < 60000) return Number((ms / 1000).toPrecision(3)) + " s";
    return Math.round(ms / 60000) + " min";
  }
  const writers = { count: short, usd: dollars, ms: took };

  function clock(seconds, step) {
    const at = new Date(seconds * 1000).toISOString();
    return step >= 86400 ? at.slice(0, 10) : at.slice(5, 16).replace("T", " ");
  }

  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function ticked(seconds) {
    const at = new Date(seconds * 1000);
    const time = at.toISOString().slice(11, 16);
    return time === "00:00" ? at.getUTCDate() + " " + MONTHS[at.getUTCMonth()] : time;
  }

  // Points that no line would show: those between two gaps.
  const alone = (row) => row.flatMap((value, at) =>
    value !== null && (row[at - 1] ?? null) === null && (row[at + 1] ?? null) === null ? [at] : []);

  function draw(figure) {
    const place = figure.querySelector(".plot");
    const plot = JSON.parse(figure.dataset.plot);
    plot.starts = Array.from({ length: plot.count }, (_, at) => plot.first + at * plot.step);
    const others = figure.dataset.others !== "0";
    const last = plot.labels.length - 1;
    const colour = (n) => style(others && n === last ? "--sx" : "--s" + n);
    const write = writers[plot.unit];
    let rows = plot.values;
    if (!plot.line) {
      // Stacked: each row holds the sum up to it, and the highest is drawn first.
      const sums = plot.starts.map(() => 0);
      rows = rows.map((row) => row.map((value, at) => (sums[at] += value || 0)));
    }
    const order = rows.map((_, n) => n);
    if (!plot.line) order.reverse();
    const middles = plot.starts.map((start) => start + plot.step / 2);
    let caption = figure.querySelector("output");
    if (!caption) {
      caption = document.createElement("output");
      figure.querySelector("figcaption").append(caption);
    }
    const axis = { stroke: style("--soft"), font: "11px system-ui, sans-serif", grid: { stroke: style("--line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: place.clientWidth,
      height: 150,
      padding: [8, 16, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: plot.line } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: {
        x: { range: () => [plot.starts[0], plot.starts[plot.starts.length - 1] + plot.step] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] },
      },
      axes: [
        { ...axis, size: 22, gap: 4, space: 60, values: (_, ticks) => ticks.map(ticked) },
        { ...axis, size: 50, gap: 4, space: 34, values: (_, ticks) => ticks.map(write) },
      ],
      series: [{}].concat(order.map((n) => plot.line
        ? { stroke: colour(n), width: 2, spanGaps: false, points: { show: true, filter: () => alone(rows[n]), size: 5, width: 1, fill: colour(n), stroke: colour(n) } }
        : { fill: colour(n), stroke: style("--card"), width: plot.starts.length > 60 ? 0 : 1, paths: uPlot.paths.bars({ size: [0.9, 40], align: 0 }), points: { show: false } })),
      hooks: {
        setCursor: [(chart) => {
          const at = chart.cursor.idx;
          if (at === null || at === undefined || chart.cursor.left < 0) { caption.textContent = ""; return; }
          const parts = plot.labels
            .map((label, n) => [label, plot.values[n][at]])
            .filter(([, value]) => value)
            .map(([label, value]) => label + " " + write(value));
          caption.textContent = clock(plot.starts[at], plot.step) + ": " + (parts.join(", ") || "none");
        }],
      },
    };
    const picture = place.querySelector("svg");
    const says = picture ? picture.getAttribute("aria-label") : place.getAttribute("aria-label");
    undraw(place);
    place.replaceChildren();
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", says);
    drawn.set(place, new uPlot(options, [middles, ...order.map((n) => rows[n])], place));
    sizes.observe(place);
  }

  function undraw(place) {
    const chart = drawn.get(place);
    if (!chart) return;
    sizes.unobserve(place);
    chart.destroy();
    drawn.delete(place);
  }

  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = drawn.get(target);
      if (chart && target.clientWidth > 0 && chart.width !== target.clientWidth) chart.setSize({ width: target.clientWidth, height: 150 });
    }
  });

  // --- Dressing what came from the server ---

  function dress() {
    find("figure[data-plot]").forEach(draw);
    for (const one of find("time[datetime]")) {
      one.title = new Date(one.dateTime).toLocaleString() + " on your clock\n" + one.dateTime;
    }
    if (navigator.clipboard) find("[data-copy]").forEach((one) => { one.hidden = false; });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => find("figure[data-plot]").forEach(draw));
  dress();
  told();
})();
